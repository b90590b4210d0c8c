"""Repositories are cloned from and pushed to a site behind the tunnel, over git's smart HTTP."""

import os
import random

import pytest
from e2e_clients import program, run_program
from e2e_data import MIB
from e2e_visitor import fetch, run

PACK_BYTES = 3 * MIB
BRANCHES = 60


@pytest.fixture
def git(site_tunnel, repositories, tmp_path):
    """git, with an identity and without anybody's configuration; and a remote repository named by the transport."""
    path = program("git")
    if not os.path.exists(f"{run_program(path, '--exec-path').out.decode().strip()}/git-http-backend"):
        pytest.skip("this git has no http-backend")
    roles = [f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]
    identity = dict.fromkeys(roles, "e2e@example.test")
    plain = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0", "no_proxy": "*"}
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **identity, **plain}

    def call(*arguments: str, at=tmp_path, stdin: bytes = b"") -> str:
        ran = run_program(
            path, "-C", str(at), "-c", "init.defaultBranch=main", *arguments, stdin=stdin, env=environment
        )
        assert ran.code == 0, ran.err
        return ran.out.decode().strip()

    call("init", "--quiet", "--bare", str(repositories / f"{site_tunnel.name}.git"))
    return call


def test_repository_is_pushed_and_cloned(git, site_tunnel, site, tmp_path):
    remote = f"http://{site_tunnel.ingress[0]}:{site_tunnel.ingress[1]}/git/{site_tunnel.name}.git"
    work, clone = tmp_path / "work", tmp_path / "clone"
    git("init", "--quiet", str(work))
    (work / "large").write_bytes(random.Random(1).randbytes(PACK_BYTES))
    git("add", "large", at=work)
    git("commit", "--quiet", "--message", "one", at=work)

    git("push", "--quiet", remote, "main", at=work)
    git("clone", "--quiet", remote, str(clone))
    assert (clone / "large").read_bytes() == (work / "large").read_bytes()

    # Asking for many commits makes a request that is worth compressing, which git then does.
    stream = "".join(
        f"commit refs/heads/branch-{number}\ncommitter e2e <e2e@example.test> {number} +0000\ndata 1\nx\n"
        for number in range(BRANCHES)
    )
    git("fast-import", "--quiet", at=work, stdin=stream.encode())
    git("push", "--quiet", "--all", remote, at=work)
    git("fetch", "--quiet", at=clone)
    assert len(git("for-each-ref", "refs/remotes/origin/branch-*", at=clone).splitlines()) == BRANCHES

    seen = [each for each in run(fetch(site, "/seen")).json() if site_tunnel.name in each["path"]]
    assert ("POST", "chunked") in {(each["method"], each["framing"]) for each in seen}
    assert ("POST", "gzip") in {(each["method"], each["coding"]) for each in seen}
