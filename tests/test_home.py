from pathlib import Path

from dyno.home import free_disk_bytes


def test_the_disk_of_a_folder_that_is_not_made_yet_is_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert free_disk_bytes(tmp_path / "not" / "yet") > 0
    assert free_disk_bytes(Path("not/yet")) > 0
    assert list(tmp_path.iterdir()) == []
