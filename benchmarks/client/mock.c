/* A server whose answers come at known times: the truth that load generators are measured against.

   mock PORT STEP_NS. Speaks just enough of /v1/chat/completions: a request of N tokens gets its first token STEP_NS
   after it was read and one every STEP_NS then, each event in a send of its own and in vLLM's shape. On SIGTERM it
   prints a line a request: serial number, when it was read, when its first and last token went out (ns, monotonic
   clock), its tokens. The serial number is also what usage gives as prompt_tokens, so that a client's records can be
   matched to these lines. One thread that never sleeps: give it a core of its own. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS = 4096, REQUESTS = 1 << 20, BODY = 1 << 17, LISTENER = CONNECTIONS, LOOK_EVERY_NS = 20000 };

typedef struct { long read_ns, first_ns, last_ns; int tokens; } Request;
typedef struct { int fd, have, left, serial; long due_ns; char *body; } Connection;  /* fd is -1 once it was closed */

static Connection connections[CONNECTIONS];
static Request requests[REQUESTS];
static int opened, served, epoll;
static volatile sig_atomic_t stopping;

static void stop(int number) { (void)number; stopping = 1; }

static long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void hang_up(Connection *c) {
    close(c->fd);
    c->fd = -1;
    c->left = c->have = 0;
}

static void put(Connection *c, const char *bytes, int size) {
    if (c->fd >= 0 && write(c->fd, bytes, size) != size) {
        fprintf(stderr, "mock: a client reads too slowly or left (%s)\n", strerror(errno));
        hang_up(c);
    }
}

static void put_event(Connection *c, const char *json) {
    char chunk[1024];
    put(c, chunk, snprintf(chunk, sizeof chunk, "%x\r\ndata: %s\n\n\r\n", (int)strlen(json) + 8, json));
}

#define HEAD "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
#define START "{\"id\":\"chatcmpl-4f2a9c1d7be34c0a9d55e0b1\",\"object\":\"chat.completion.chunk\"," \
              "\"created\":1795223594,\"model\":\"mock\",\"choices\":["

static void put_delta(Connection *c, const char *delta) {
    char json[512];
    snprintf(json, sizeof json, START "{\"index\":0,\"delta\":{%s},\"logprobs\":null,\"finish_reason\":null,"
             "\"token_ids\":null}],\"usage\":null}", delta);
    put_event(c, json);
}

static void put_end(Connection *c) {
    char json[512];
    int tokens = requests[c->serial].tokens;
    put_event(c, START "{\"index\":0,\"delta\":{\"content\":\"\"},\"logprobs\":null,\"finish_reason\":\"length\","
              "\"stop_reason\":null}]}");
    snprintf(json, sizeof json, START "],\"usage\":{\"prompt_tokens\":%d,\"total_tokens\":%d,\"completion_tokens\":%d}}",
             c->serial, c->serial + tokens, tokens);
    put_event(c, json);
    put_event(c, "[DONE]");
    put(c, "0\r\n\r\n", 5);
}

static void put_page(Connection *c, int status, const char *page) {
    char answer[512];
    put(c, answer, snprintf(answer, sizeof answer, "HTTP/1.1 %d -\r\ncontent-type: application/json\r\n"
                            "content-length: %zu\r\n\r\n%s", status, strlen(page), page));
}

static void begin(Connection *c, const char *body) {
    const char *asked = strstr(body, "\"max_tokens\":");
    if (!asked) asked = strstr(body, "\"max_completion_tokens\":");
    if (!asked || served == REQUESTS) { put_page(c, 400, "{\"error\":\"no max_tokens\"}"); return; }
    c->serial = served++;
    c->left = atoi(strchr(asked, ':') + 1);
    requests[c->serial] = (Request){.read_ns = now_ns(), .tokens = c->left};
    put(c, HEAD, sizeof HEAD - 1);
}

static void hear(Connection *c, long step_ns) {
    int size = read(c->fd, c->body + c->have, BODY - 1 - c->have);
    if (size <= 0) { hang_up(c); return; }
    c->body[c->have += size] = 0;
    char *head_end = strstr(c->body, "\r\n\r\n"), *length = strcasestr(c->body, "content-length:");
    if (!head_end) return;
    int announced = length && length < head_end ? atoi(length + 15) : 0;
    if (c->have < head_end + 4 - c->body + announced) return;
    c->have = 0;
    if (!strncmp(c->body, "GET /v1/models", 14)) put_page(c, 200, "{\"object\":\"list\",\"data\":[{\"id\":\"mock\",\"object\":\"model\"}]}");
    else if (!strncmp(c->body, "GET /health", 11)) put_page(c, 200, "{}");
    else if (!strncmp(c->body, "GET", 3)) put_page(c, 404, "{}");
    else { begin(c, head_end); c->due_ns = requests[c->serial].read_ns + step_ns; }
}

static void greet(int listener) {
    int fd = accept4(listener, 0, 0, SOCK_NONBLOCK), on = 1;
    if (fd < 0) return;
    int free = 0;
    while (free < opened && connections[free].fd >= 0) free++;
    if (free == CONNECTIONS) { close(fd); return; }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    char *body = free < opened ? connections[free].body : malloc(BODY);
    if (free == opened) opened++;
    connections[free] = (Connection){.fd = fd, .body = body};
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = free};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void speak(Connection *c, long step_ns) {
    Request *request = &requests[c->serial];
    int first = c->left == request->tokens;
    if (first) put_delta(c, "\"role\":\"assistant\",\"content\":\"\"");
    request->last_ns = now_ns();
    if (first) request->first_ns = request->last_ns;
    put_delta(c, "\"content\":\" token\"");
    c->due_ns += step_ns;
    if (--c->left == 0) put_end(c);
}

int main(int count, char **words) {
    if (count != 3) { fprintf(stderr, "mock PORT STEP_NS\n"); return 2; }
    long step_ns = atol(words[2]), looked_ns = 0;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(words[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) { perror("mock"); return 1; }
    struct epoll_event events[256], event = {.events = EPOLLIN, .data.u32 = LISTENER};
    epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    signal(SIGTERM, stop);
    signal(SIGPIPE, SIG_IGN);
    while (!stopping) {
        long now = now_ns();
        if (now - looked_ns > LOOK_EVERY_NS) {
            looked_ns = now;
            for (int i = epoll_wait(epoll, events, 256, 0) - 1; i >= 0; i--) {
                if (events[i].data.u32 == LISTENER) greet(listener);
                else if (connections[events[i].data.u32].fd >= 0) hear(&connections[events[i].data.u32], step_ns);
            }
        }
        for (int i = 0; i < opened; i++)
            if (connections[i].left > 0 && connections[i].due_ns <= now) speak(&connections[i], step_ns);
    }
    for (int i = 0; i < served; i++)
        printf("%d %ld %ld %ld %d\n", i, requests[i].read_ns, requests[i].first_ns, requests[i].last_ns, requests[i].tokens);
    return 0;
}
