"""Debian's default seccomp profile (of `golang-github-containers-common`, in Docker's format) as an OCI configuration has it,
for a container without capabilities: what podman makes of it by itself, crun and runc must be given."""

import json
import platform
from pathlib import Path

PROFILE = Path("/usr/share/containers/seccomp.json")
ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
SHORT = {"x86_64": "amd64", "aarch64": "arm64"}


def without_capabilities() -> dict:
    profile = json.loads(PROFILE.read_text())
    architecture = ARCHITECTURES[platform.machine()]
    more = next(entry["subArchitectures"] for entry in profile["archMap"] if entry["architecture"] == architecture)
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile.get("defaultErrnoRet", 1),
        "architectures": [architecture, *(more or [])],
        "syscalls": [rule(entry) for entry in profile["syscalls"] if applies(entry)],
    }


def applies(entry: dict) -> bool:
    includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
    here = SHORT[platform.machine()]
    return (
        not includes.get("caps")
        and here in (includes.get("arches") or [here])
        and here not in (excludes.get("arches") or [])
    )


def rule(entry: dict) -> dict:
    rule = {"names": entry["names"], "action": entry["action"]}
    if entry.get("args"):
        rule["args"] = entry["args"]
    if "errnoRet" in entry:
        rule["errnoRet"] = entry["errnoRet"]
    return rule
