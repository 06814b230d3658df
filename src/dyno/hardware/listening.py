"""Which process of this host serves an address."""

import os
import socket
from ipaddress import ip_address

import psutil

from dyno.hardware.procfs import read_process
from dyno.hardware.sampler import UNSEEN

# What stands between a port of this host and a server that is elsewhere on it.
_FORWARDERS = ("docker-proxy", "rootlessport", "conmon", "slirp4netns", "pasta", "nginx", "haproxy", "envoy", "traefik",
               "caddy")  # fmt: skip


def listener(host: str, port: int) -> int | None:
    """The first process that listens there; UNSEEN where none can be seen, or one that only forwards.

    None where the address is another host's, or this very process listens.
    """
    if not _is_here(host):
        return None
    pids = {each.pid for each in psutil.net_connections("tcp")
            if each.pid and each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port}  # fmt: skip
    if os.getpid() in pids:
        return None
    found = [process for pid in pids if (process := read_process(pid))]
    first = (process.pid for process in found if process.name not in _FORWARDERS and process.parent not in pids)
    return min(first, default=UNSEEN)


def _is_here(host: str) -> bool:
    try:
        addresses = {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    own = {address.address for card in psutil.net_if_addrs().values() for address in card}
    return any(ip_address(address.partition("%")[0]).is_loopback or address in own for address in addresses)
