"""What ansible-core says of inventories: one process for many of them.

Reads paths, one a line, and prints for each what `ansible-inventory --list` prints of it, by the same classes, as one line of
JSON: groups with their hosts, variables of hosts; and, read by other programs' rules than kinstall's, whether a host's user
becomes root and which host is gone through. An inventory that Ansible refuses has an `error` instead.
"""

import getopt
import json
import os
import shlex
import sys

os.environ["ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED"] = "True"
os.environ["ANSIBLE_LOCALHOST_WARNING"] = "False"

from ansible import constants as C
from ansible.inventory.manager import InventoryManager
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.plugins.vars import host_group_vars
from ansible.vars.manager import VariableManager

SSH_OPTIONS = "46AaCfGgKkMNnqsTtVvXxYyB:b:c:D:E:e:F:I:i:J:L:l:m:O:o:p:Q:R:S:W:w:"


def plain(value):
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return value + 0
    return str(value)


def settings(options):
    """The settings that options of ssh make; the first of several counts."""
    found = {}
    names = {"-l": "user", "-p": "port", "-i": "identityfile", "-J": "proxyjump"}
    for option, value in options:
        if option == "-o":
            name, _, value = value.replace("=", " ", 1).partition(" ")
        else:
            name = names.get(option, option)
        if name.lower() in ("proxyjump", "proxycommand"):
            name = "way" if value.lower() != "none" else "none"
            value = (option == "-J" or "ssh" not in value.split()[:1], value.strip())
        found.setdefault(name.lower(), value)
    return found


def jump(arguments):
    """The host to go through and the key for it, by getopt and shlex."""
    options, _ = getopt.gnu_getopt(shlex.split(arguments), SSH_OPTIONS)
    direct, value = settings(options).get("way", (True, ""))
    if direct:
        return [value or None, None]
    options, words = getopt.gnu_getopt(shlex.split(value)[1:], SSH_OPTIONS)
    found = settings(options)
    user, _, host = words[0].rpartition("@")
    user = found.get("user", user)
    port = found.get("port")
    return [(user + "@" if user else "") + host + (":" + port if port else ""), found.get("identityfile")]


def look(path):
    # What the plugin remembers of folders is of other inventories.
    host_group_vars.FOUND.clear()
    host_group_vars.NAK.clear()
    host_group_vars.CANONICAL_PATHS.clear()
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[path])
    variables = VariableManager(loader=loader, inventory=inventory)
    hosts = {}
    for host in inventory.get_hosts("all"):
        found = variables.get_vars(host=host, include_hostvars=False, stage="all")
        found = {name: value for name, value in found.items() if name not in C.INTERNAL_STATIC_VARS}
        arguments = found.get("ansible_ssh_common_args")
        hosts[str(host.name)] = {
            "vars": plain(found),
            "become": boolean(found["ansible_become"], strict=False) if "ansible_become" in found else None,
            "jump": jump(str(arguments)) if arguments else [None, None],
        }
    groups = {str(name): sorted(str(host.name) for host in group.get_hosts()) for name, group in inventory.groups.items()}
    return {"groups": groups, "hosts": hosts}


init_plugin_loader([])
for line in sys.stdin:
    try:
        answer = look(line.rstrip("\n"))
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
