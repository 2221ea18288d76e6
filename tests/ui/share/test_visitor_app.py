"""The visitors' page over real HTTP: who gets in, what they may do, and what they never see."""

import hashlib
import json
import re
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.engine import Engine
from engine.jobs import State
from engine.library import xmp
from engine.library.mp4 import read_receipt
from engine.machine.addresses import in_url, own_addresses
from engine.text import Text
from tests.conftest import Ask, finish, wait_until
from tests.support.visitors import Doors, asked, error
from ui.server.incoming import OPEN_EACH
from ui.share.session import Sharing, SharingError
from ui.share.tunnel import Tunnel, TunnelError, open_tunnel
from ui.share.visitors import (
    HOURS,
    UNFINISHED_ALL,
    UNFINISHED_EACH,
    UNSEEN_SECONDS,
    VISITORS,
    VISITORS_EACH,
    Share,
    ShareError,
    WrongPassword,
    draw_password,
)
from ui.tabs.share import ABOUT, LENGTHS, share_state
from ui.wording import spoken

pytestmark = pytest.mark.starts

SECRET = "the owner's own secret prompt"
OWNERS = pytest.mark.reliability("a visitor trying what is the owner's, or another visitor's")


def closed(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def state(client: httpx.Client) -> dict[str, Any]:
    answer = client.get("state")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_visitor_makes_a_clip_and_gets_it(doors: Doors) -> None:
    doors.engine.start()
    ana = doors.visitor()
    answer = ana.post("generate", json=asked("<b>ball</b>", seed=3))
    assert answer.status_code == 200, answer.text
    job = answer.json()["job"]
    wait_until(lambda: state(ana)["jobs"][0]["clip"], "the visitor's clip")
    clip = ana.get(f"clip/{job}.mp4", headers={"Range": "bytes=4-7"})
    assert (clip.status_code, clip.content) == (206, b"ftyp")
    assert ana.get(f"clip/{job}.jpg").headers["content-type"] == "image/jpeg"
    download = ana.get(f"clip/{job}.mp4?download").headers["content-disposition"]
    assert download == f'attachment; filename="headroom-{job}.mp4"'
    mine = doors.engine.jobs.get(job)
    assert mine.visitor_name == "Ana"


def test_every_address_answers_head_as_it_answers_get(doors: Doors) -> None:
    ana = doors.visitor()
    for path in ("", "static/visitors.js", "texts/zh.json", "state", "clip/1.mp4"):
        got, head = ana.get(path), ana.head(path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        for name in ("content-type", "content-length", "cache-control"):
            assert head.headers.get(name) == got.headers.get(name), (path, name)


def test_stopping_ends_a_download_that_is_under_way(doors: Doors) -> None:
    doors.engine.start()
    ana = doors.visitor()
    job = ana.post("generate", json=asked()).json()["job"]
    wait_until(lambda: state(ana)["jobs"][0]["clip"], "the visitor's clip")
    found = doors.engine.library.of_job(job)
    assert found is not None
    with (doors.engine.home.clips / found.file).open("ab") as file:
        file.truncate(256 * 2**20)  # more than the system keeps on the way
    with ana.stream("GET", f"clip/{job}.mp4") as answer:
        parts = answer.iter_raw()
        next(parts)
        doors.sharing.stop()
        with pytest.raises(httpx.TransportError):
            for _ in parts:
                pass
    wait_until(lambda: closed(doors.port), "the port is closed")


def test_the_password_is_strong_and_shown_once(doors: Doors) -> None:
    passwords = {draw_password() for _ in range(50)}
    assert len(passwords) == 50
    assert all(re.fullmatch(r"([a-z2-7]{4}-){3}[a-z2-7]{4}", p) for p in passwords), "80 bits"
    assert doors.opened.password not in json.dumps(spoken(doors.sharing.state()))
    assert doors.opened.invitation.endswith(f"/#{doors.opened.password}")
    upper = doors.opened.password.upper().replace("-", " ")
    assert doors.client().post("enter", json={"password": upper, "name": ""}).status_code == 200


def test_wrong_passwords_slow_down_and_tell_nothing(doors: Doors) -> None:
    client = doors.client()
    waits = []
    for _ in range(2):
        answer = client.post("enter", json={"password": "wrong", "name": "x"})
        assert answer.status_code == 429
        waits.append(int(answer.headers["retry-after"]))
    right = client.post("enter", json={"password": doors.opened.password, "name": "x"})
    assert right.status_code == 429, "this address waits, whatever it says now"
    for path in ("9.9.9.9, 5.5.5.5", "8.8.8.8, 5.5.5.5"):
        made_up = doors.client(**{"X-Forwarded-For": path})
        made_up.post("enter", json={"password": "wrong", "name": "x"})
    assert (
        int(made_up.post("enter", json={"password": "wrong", "name": "x"}).headers["retry-after"])
        > 0.5
    ), "only the tunnel server's own entry counts"
    now = [0.0]
    share = Share("scripted", 10**6, clock=lambda: now[0])
    for wait in (1, 2, 4, 8, 16, 32, 60, 60):
        with pytest.raises(WrongPassword, match=f"Try again in {wait} s") as caught:
            share.enter("no", "x", "1.2.3.4")
        now[0] += caught.value.wait
    assert share.enter(share.password, "x", "5.6.7.8"), "another address needn't wait"
    assert client.get("state").status_code == 401


@OWNERS
def test_only_their_own(doors: Doors, ask: Ask) -> None:
    """A visitor tries what is the owner's, and what is another visitor's."""
    doors.engine.start()
    own = finish(doors.engine, doors.engine.submit(ask(SECRET)))
    ana, ben = doors.visitor("Ana"), doors.visitor("Ben")
    job = ana.post("generate", json=asked("step_seconds=0.01 ana's")).json()["job"]
    finish(doors.engine, doors.engine.jobs.get(job))
    for number in (own.id, job, 0, 99, 10**17):
        assert ben.get(f"clip/{number}.mp4").status_code in (404, 409)
        assert ben.post("cancel", json={"job": number}).status_code == 409
    assert state(ben)["jobs"] == []
    assert SECRET not in json.dumps(state(ana))
    routes = (
        "live",
        "config",
        "info",
        "gradio_api/info",
        "gradio_api/run/generate",
        "queue/join",
        "gradio_api/queue/data",
        "mcp",
        "clips",
        "library",
        "settings",
        "weights",
        "doctor",
        "file=/etc/passwd",
        "gradio_api/file=/etc/passwd",
        "static/../../app.py",
        "static/page.css",
        "static/%2e%2e/%2e%2e/app.py",
        "docs",
        "openapi.json",
        "thumb/1",
        "monitoring",
        "login",
        f"clip/../clips/{own.id}.mp4",
        "clip/..%2f..%2fheadroom.sqlite3",
        f"clip/{own.id}.jpg",
        "clip/1.mp4.jpg",
        "clip/%00.mp4",
        "clip/-1.mp4",
        "clip/1e3.mp4",
        "clip/٣.mp4",
    )
    for path in routes:
        answer = ana.get(path)
        assert answer.status_code in (404, 405, 409), path
        assert "Traceback" not in answer.text
        assert str(doors.engine.home.root) not in answer.text


@OWNERS
def test_nobody_without_the_password(doors: Doors) -> None:
    client = doors.client()
    for answer in (
        client.get("state"),
        client.post("generate", json=asked()),
        client.post("cancel", json={"job": 1}),
        client.get("clip/1.mp4"),
        client.get("state", headers={"Cookie": "headroom_visit=guess"}),
    ):
        assert answer.status_code == 401
        assert error(answer) == "Enter the password first."
    assert client.get("").status_code == 200, "the page itself tells nothing"


@OWNERS
def test_caps_on_waiting_and_on_size(doors: Doors) -> None:
    ana = doors.visitor()
    for _ in range(UNFINISHED_EACH):
        assert ana.post("generate", json=asked()).status_code == 200
    assert "already" in error(ana.post("generate", json=asked()))
    big = doors.visitor("Ben").post("generate", json=asked(height=64, width=64))
    assert (big.status_code, "up to 48 × 32 with 5 frames" in error(big)) == (409, True)
    for n in range(UNFINISHED_ALL // UNFINISHED_EACH - 1):
        more = doors.visitor(f"more {n}", f"5.5.5.{n}")
        for _ in range(UNFINISHED_EACH):
            assert more.post("generate", json=asked()).status_code == 200
    late = doors.visitor("late", "6.6.6.6").post("generate", json=asked())
    assert "Too many clips" in error(late)


@OWNERS
@pytest.mark.parametrize("addresses", [["5.5.5.5"], ["2001:db8:1:2::1", "2001:db8:1:2:3:4:5:6"]])
def test_a_person_with_many_cookies_has_one_cap(doors: Doors, addresses: list[str]) -> None:
    answers = []
    for n in range(VISITORS_EACH):
        visitor = doors.visitor(f"{n}", addresses[n % len(addresses)])
        answers.append(visitor.post("generate", json=asked()))
    assert [answer.status_code for answer in answers].count(200) == UNFINISHED_EACH
    assert "from your address are already waiting" in error(answers[-1])
    assert doors.visitor("Ben", "6.6.6.6").post("generate", json=asked()).status_code == 200
    doors.engine.cancel(answers[0].json()["job"])
    assert visitor.post("generate", json=asked()).status_code == 200
    doors.sharing.stop()
    assert doors.engine.jobs.unfinished_of_visitors() == [], "theirs too who made room"


@OWNERS
def test_who_comes_where_all_are_there_is_told_so(doors: Doors) -> None:
    inside = [doors.visitor(f"{n}", "5.5.5.5") for n in range(VISITORS_EACH)]
    late = doors.client(**{"X-Forwarded-For": "5.5.5.5"})
    for language, said in (
        ("en", "8 people from your address are already here"),
        ("zh", "已有 8 人在此"),
    ):
        body = {"password": doors.opened.password, "name": "late"}
        refused = late.post("enter", json=body, headers={"Accept-Language": language})
        assert refused.status_code == 409
        assert said in error(refused)
    assert {one.get("state").status_code for one in inside} == {200}, "nobody was put out"
    doors.visitor("elsewhere", "6.6.6.6")


@OWNERS
def test_who_was_longest_unseen_makes_room() -> None:
    now = [0.0]

    def inside(token: str) -> bool:
        now[0] += 1
        return share.visitor(token) is not None

    def enter(address: str) -> str:
        now[0] += UNSEEN_SECONDS
        return share.enter(share.password, "x", address)

    share = Share("scripted", 10**6, clock=lambda: now[0])
    ana = enter("1.1.1.1")
    crowd = [enter("6.6.6.6") for _ in range(3 * VISITORS)]
    assert [inside(token) for token in crowd].count(True) == VISITORS_EACH
    assert inside(ana), "one address takes nobody else's place"
    others = [enter(f"7.7.7.{n}") for n in range(VISITORS - 1)]
    assert len(share.visitors()) == VISITORS
    assert inside(ana), "who was seen since"
    assert not any(inside(token) for token in crowd)
    assert inside(others[-1])
    assert inside(enter("1.1.1.1")), "nobody is locked out"


@OWNERS
@pytest.mark.parametrize("each", ["of one address", "of many"])
def test_whose_page_asks_is_not_put_out(each: str) -> None:
    now, most = [0.0], VISITORS_EACH if each == "of one address" else VISITORS
    share = Share("scripted", 10**6, clock=lambda: now[0])

    def enter(n: int) -> str:
        address = "5.5.5.5" if each == "of one address" else f"5.5.5.{n}"
        return share.enter(share.password, "x", address)

    inside = [enter(n) for n in range(most)]
    for _ in range(20):
        now[0] += UNSEEN_SECONDS / 2
        assert all(share.visitor(token) for token in inside)
        with pytest.raises(ShareError, match=f"{most} people .*Try again half a minute"):
            enter(most)
    now[0] += UNSEEN_SECONDS - 1
    assert all(share.visitor(token) for token in inside[1:])
    now[0] += 1
    with pytest.raises(ShareError, match="The name has"):
        share.enter(share.password, "x" * 99, "5.5.5.5")
    assert len(share.visitors()) == most
    enter(most)
    assert not share.visitor(inside[0]), "who has left makes room"
    assert all(share.visitor(token) for token in inside[1:])


@OWNERS
def test_requests_of_one_address_at_once_are_few(doors: Doors) -> None:
    """Through a tunnel all connections come from this computer."""
    held = []
    for _ in range(OPEN_EACH):
        slow = socket.create_connection(("127.0.0.1", doors.port))
        slow.sendall(
            b"POST /enter HTTP/1.1\r\nHost: abc123.share.test\r\n"
            b"Origin: https://abc123.share.test\r\nContent-Type: application/json\r\n"
            b"X-Forwarded-For: 5.5.5.5\r\nContent-Length: 999\r\n\r\n"
        )
        held.append(slow)
    attacker = doors.client(**{"X-Forwarded-For": "1.1.1.1, 5.5.5.5"})
    wait_until(lambda: attacker.get("").status_code == 429, "all of them")
    assert error(attacker.get("")).startswith("Too many requests from your address are open.")
    assert doors.client(**{"X-Forwarded-For": "6.6.6.6"}).get("").status_code == 200
    for slow in held:
        slow.close()
    wait_until(lambda: attacker.get("").status_code == 200, "their end")


def test_the_owners_jobs_come_first(doors: Doors, ask: Ask) -> None:
    ana = doors.visitor()
    theirs = ana.post("generate", json=asked()).json()["job"]
    own = doors.engine.submit(ask("mine"))
    doors.engine.jobs.move(theirs, "first")
    assert [job.id for job in doors.engine.jobs.waiting()] == [own.id, theirs]
    assert state(ana)["jobs"][0]["before"] == 1
    claimed = doors.engine.jobs.claim()
    assert claimed is not None
    assert claimed.id == own.id


def test_a_name_that_is_too_long_is_refused_and_not_cut(doors: Doors) -> None:
    body = {"password": doors.opened.password, "name": "n" * 41}
    answer = doors.client().post("enter", json=body)
    assert 400 <= answer.status_code < 500
    assert "The name has 41 characters; the maximum is 40. Choose a shorter one." in error(answer)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (asked(model="wan-tiny"), "model"),
        (asked(visitor="me"), "no such field"),
        (asked(prompt=""), "Write a prompt first"),
        (asked(prompt="a" * 2001), "2001 characters"),
        (asked(prompt="a\x00b"), "control characters"),
        (asked(height="x"), "whole number"),
        (asked(frames=6), "4k+1"),
        (asked(seed=2**40), "seed"),
        (asked(height=10**30), "height"),
        ([1], "doesn't accept"),
        ("text", "doesn't accept"),
        (None, "isn't JSON"),
    ],
)
def test_every_input_is_checked_here(doors: Doors, body: object, says: str) -> None:
    answer = doors.visitor().post("generate", json=body)
    assert 400 <= answer.status_code < 500
    assert says in error(answer)


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("path", ["enter", "generate", "cancel"])
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "isn't JSON"),
        (b"{", "isn't JSON"),
        (b"\xff\xfe", "isn't JSON"),
        (b"[" * 10_000, "isn't JSON"),
        (b'{"job": 1' + b"0" * 5000 + b"}", "isn't JSON"),
        (b"[]", "doesn't accept that"),
        (b"null", "doesn't accept that"),
        (b'"text"', "doesn't accept that"),
        (b"5", "doesn't accept that"),
    ],
)
def test_senseless_bodies_get_a_sentence(doors: Doors, path: str, body: bytes, says: str) -> None:
    ana = doors.visitor()
    answer = ana.post(path, content=body, headers=JSON)
    assert (answer.status_code, says in error(answer)) == (422, True), error(answer)
    assert ana.post(path, content=body).status_code == 422, "and so it is under no type"
    assert doors.engine.jobs.waiting() == []


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("enter", {"password": 5, "name": []}, "Password and name have to be text."),
        ("enter", {"password": None}, "Password and name have to be text."),
        ("enter", {"name": True}, "Password and name have to be text."),
        ("enter", {"passwort": "x"}, "This address doesn't accept that."),
        ("cancel", {}, "job has to be a number."),
        ("cancel", {"job": "1"}, "job has to be a number."),
        ("cancel", {"job": True}, "job has to be a number."),
        ("cancel", {"job": 1.5}, "job has to be a number."),
        ("cancel", {"job": [1]}, "job has to be a number."),
        ("cancel", {"job": 1, "all": True}, "This address doesn't accept that."),
    ],
)
def test_senseless_fields_get_a_sentence(
    doors: Doors, path: str, body: dict[str, object], says: str
) -> None:
    answer = doors.visitor().post(path, json=body)
    assert (answer.status_code, error(answer)) == (422, says)


@pytest.mark.parametrize("path", ["enter", "generate", "cancel"])
def test_enormous_bodies_are_cut_off(doors: Doors, path: str) -> None:
    ana = doors.visitor()
    for headers in (JSON, {}):
        answer = ana.post(path, content=b"x" * 10**6, headers=headers)
        assert (answer.status_code, error(answer)) == (413, "That is too long.")
        assert "frame-ancestors" in answer.headers["content-security-policy"]


def test_the_door_speaks_the_visitors_language(doors: Doors) -> None:
    """What the browser asks for, or what somebody chose on the page."""
    ana = doors.visitor()
    client = doors.client(**{"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"})
    assert error(client.get("state")) == "请先输入密码。"
    assert error(client.get("nowhere")) == "这里什么也没有。"
    assert error(client.post("enter", json={"name": 5})) == "密码和名字必须是文本。"
    assert error(client.get("state", headers={"Host": "evil.example"})) == "这里不提供这个地址。"
    wrong = client.post("enter", json={"password": "wrong"})
    assert error(wrong) == "密码不对。请 1 秒后再试。"
    english = client.get("state", headers={"Cookie": "headroom-lang=en"})
    assert error(english) == "Enter the password first."
    ana.headers["Cookie"] += "; headroom-lang=zh"
    shown = state(ana)
    assert shown["engine"] == "已就绪"
    assert shown["lengths"][0]["text"].endswith(" 秒")
    big = ana.post("generate", json=asked(height=64, width=64))
    assert error(big) == "访客最多可用 48 × 32、5 帧。请选更小的尺寸或更短的时长。"
    doors.engine.cancel(ana.post("generate", json=asked()).json()["job"])
    assert state(ana)["jobs"][0]["told"] == "已取消。"


def test_what_went_wrong_here_is_no_traceback(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = doors.visitor()

    def fails(_visitor: str) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(doors.engine.jobs, "of_visitor", fails)
    answer = ana.get("state", headers={"Accept-Language": "zh"})
    assert (answer.status_code, error(answer)) == (500, "这里出错了；主人的日志里有原因。")


def test_who_gives_no_name_is_somebody(doors: Doors) -> None:
    doors.visitor("\x00 \n").post("generate", json=asked())
    assert [job.visitor_name for job in doors.engine.jobs.waiting()] == ["somebody"]
    (line,) = share_state(doors.sharing)["share-visitors"]
    assert line.values["name"] == Text("share.somebody")
    assert str(line) == "Someone: 0 done, 1 unfinished"


def test_the_share_tab_says_what_the_caps_are() -> None:
    assert f"at most {UNFINISHED_EACH} at a time\nare unfinished" in ABOUT
    assert tuple(LENGTHS) == HOURS


@OWNERS
def test_other_names_and_other_sites_are_refused(doors: Doors) -> None:
    ana = doors.visitor()
    assert ana.get("state", headers={"Host": "evil.example"}).status_code == 400
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "http://["):
        refused = ana.post("generate", json=asked(), headers={"Origin": origin})
        assert refused.status_code == 403
    without = doors.client()
    del without.headers["origin"]
    assert without.post("enter", json={}).status_code == 403
    entered = doors.client().post("enter", json={"password": doors.opened.password, "name": "x"})
    attributes = entered.headers["set-cookie"].lower()
    assert all(word in attributes for word in ("httponly", "samesite=strict", "secure"))
    assert "frame-ancestors 'none'" in ana.get("").headers["content-security-policy"]


def test_stopping_ends_it_at_once(doors: Doors, ask: Ask) -> None:
    doors.engine.start()
    ana = doors.visitor()
    running = ana.post("generate", json=asked("steps=400 step_seconds=0.1")).json()["job"]
    wait_until(lambda: state(ana)["jobs"][0]["state"] == "running", "the visitor's job")
    waiting = ana.post("generate", json=asked()).json()["job"]
    assert doors.sharing.state()["visitors"] == [{"name": "Ana", "done": 0, "unfinished": 2}]
    doors.sharing.stop()
    assert doors.sharing.state()["open"] is False
    for job in (running, waiting):
        wait_until(
            lambda job=job: doors.engine.jobs.get(job).state is State.CANCELLED,  # type: ignore[misc]
            "the end of what visitors had",
        )
    wait_until(lambda: closed(doors.port), "the port's end")
    first = doors.opened.password
    doors.open()
    assert doors.opened.password != first
    assert doors.client().get("state", headers=dict(ana.headers)).status_code == 401


def test_it_ends_by_itself(doors: Doors) -> None:
    doors.sharing.stop()
    doors.open(hours=1 / 3600)
    ana = doors.visitor()
    ana.post("generate", json=asked())
    wait_until(lambda: not doors.sharing.state()["open"], "the end")
    wait_until(lambda: not doors.engine.jobs.unfinished_of_visitors(), "its jobs' end")


def test_one_door_at_a_time_and_none_after_a_failure(engine: Engine) -> None:
    def fails(port: int, token: str, folder: Path) -> Tunnel:
        raise TunnelError("No network.", "Share in your own network instead.")

    sharing = Sharing(engine, fails)
    with pytest.raises(TunnelError):
        sharing.start("link", 2, "scripted")
    assert sharing.state()["open"] is False
    if own_addresses():
        opened = sharing.start("network", 2, "scripted")
        assert httpx.get(opened.address, trust_env=False).status_code == 200
        with pytest.raises(SharingError):
            sharing.start("network", 2, "scripted")
    sharing.close()


def test_in_the_network_it_answers_at_each_address_under_its_name(engine: Engine) -> None:
    """IPv6 in brackets, as a browser writes it."""
    if not own_addresses():
        pytest.skip("this machine is in no network")
    sharing = Sharing(engine)
    opened = sharing.start("network", 2, "scripted")
    port = opened.address.rstrip("/").rpartition(":")[2]
    for address in own_addresses():
        at = f"http://{in_url(address)}:{port}/"
        assert httpx.get(at, trust_env=False).status_code == 200, at
        other = httpx.get(at, headers={"Host": "evil.example"}, trust_env=False)
        assert other.status_code == 400
    assert opened.address == f"http://{in_url(own_addresses()[0])}:{port}/"
    sharing.close()


def test_an_ipv6_network_is_enough(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.share.session.own_addresses", lambda: ["2001:db8::7"])
    sharing = Sharing(engine)
    opened = sharing.start("network", 2, "scripted")
    assert opened.address.startswith("http://[2001:db8::7]:")
    port = opened.address.rstrip("/").rpartition(":")[2]
    named = {"Host": f"[2001:db8::7]:{port}"}
    answer = httpx.get(f"http://127.0.0.1:{port}/", headers=named, trust_env=False)
    assert answer.status_code == 200
    sharing.close()


def test_a_network_that_is_joined_later_has_the_share_too(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not own_addresses():
        pytest.skip("this machine is in no network")
    monkeypatch.setattr("ui.share.session.own_addresses", lambda: ["2001:db8::7"])
    sharing = Sharing(engine)
    port = sharing.start("network", 2, "scripted").address.rstrip("/").rpartition(":")[2]
    for host, status in (("evil.example", 400), (in_url(own_addresses()[0]), 200)):
        named = {"Host": f"{host}:{port}"}
        answer = httpx.get(f"http://127.0.0.1:{port}/", headers=named, trust_env=False)
        assert answer.status_code == status, host
    sharing.close()


def test_a_share_doesnt_outlive_the_program(engine: Engine, ask: Ask) -> None:
    """What a program that shared left behind, killed before it could cancel anything."""
    share = engine.jobs.shares.open(3600)
    engine.jobs.add_all([ask()], visitor=(f"{share.id}.1", "Ann"))
    share.close()
    engine.start()
    wait_until(lambda: not engine.jobs.waiting(), "the end of what nobody waits for")
    assert engine.jobs.unfinished_of_visitors() == []


def test_a_share_that_was_open_before_the_engine_keeps_its_jobs(doors: Doors) -> None:
    ana = doors.visitor()
    ana.post("generate", json=asked())
    doors.engine.start()
    wait_until(lambda: state(ana)["jobs"][0]["clip"], "the visitor's clip")


def test_why_there_is_no_link_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gradio import networking, tunneling

    missing = tmp_path / "gone" / "frpc"
    monkeypatch.setattr(tunneling, "BINARY_PATH", str(missing))
    monkeypatch.setattr(tunneling, "BINARY_FOLDER", missing.parent)
    url = "http://127.0.0.1:9/frpc"
    monkeypatch.setattr(tunneling, "BINARY_URL", url)
    monkeypatch.setattr(tunneling, "CHECKSUMS", {url: hashlib.sha256(b"").hexdigest()})
    monkeypatch.setattr(networking, "GRADIO_SHARE_SERVER_ADDRESS", "127.0.0.1:9")
    with pytest.raises(TunnelError, match="couldn't be downloaded"):
        open_tunnel(1, "t", tmp_path)
    missing.parent.mkdir()
    missing.write_bytes(b"")
    monkeypatch.setattr(networking, "GRADIO_SHARE_SERVER_ADDRESS", None)
    monkeypatch.setattr(networking, "GRADIO_API_SERVER", "http://127.0.0.1:9/")
    with pytest.raises(TunnelError, match="can't be reached") as caught:
        open_tunnel(1, "t", tmp_path)
    assert "own network" in str(caught.value.remedy)


def test_what_a_visitor_gets_tells_nothing_of_the_computer(doors: Doors) -> None:
    """Whoever reads the file finds how to make the clip again; the owner's row has the rest."""
    doors.engine.start()
    ana = doors.visitor()
    job = ana.post("generate", json=asked(seed=7)).json()["job"]
    wait_until(lambda: state(ana)["jobs"][0]["clip"], "the visitor's clip")
    file = doors.engine.home.cache / "got.mp4"
    answer, still = ana.get(f"clip/{job}.mp4"), ana.get(f"clip/{job}.jpg")
    file.write_bytes(answer.content)
    clip = doors.engine.library.of_job(job)
    assert clip is not None
    full = clip.receipt
    assert {"plan", "versions", "peaks", "stages", "device"} <= set(full), "the owner's"
    mine = {name: full[name] for name in ("request", "seed", "model")}
    assert read_receipt(file) == mine
    beside = xmp.read(file)
    assert beside is not None
    assert json.loads(beside) == {"kind": "headroom.receipt", **mine}
    own = [str(full["device"]), *map(str, full["versions"].values()), "threads=", "x264", "Lavf"]
    page = ana.get("").content + ana.get("state").content
    for told in (word.encode() for word in own if len(word) > 2):
        assert told not in answer.content, told
        assert told not in still.content, told
        assert told not in page, told
    headers = " ".join(f"{name}: {value}" for name, value in answer.headers.items())
    assert "server" not in answer.headers
    assert not re.search(r"uvicorn|python|headroom\.sqlite|/home/|/root/", headers, re.I)


def test_the_owners_own_clip_has_the_whole_receipt(engine: Engine, ask: Ask) -> None:
    engine.start()
    made = finish(engine, engine.submit(ask()))
    clip = engine.library.of_job(made.id)
    assert clip is not None
    inside = read_receipt(engine.home.clips / clip.file)
    assert {"plan", "versions", "peaks"} <= set(inside)
    assert b"threads=" not in (engine.home.clips / clip.file).read_bytes()
