//! Random inventories, always the same ones: hosts, groups of groups and variables at every level, in INI, YAML and JSON, as files and as
//! folders, with the forms in which people and Ansible write values.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

/// The files of an inventory; the first one is the inventory itself.
pub(super) struct Inventory {
    pub files: Vec<(String, String)>,
    /// Whether the folder is given instead of the file.
    pub as_folder: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Ini,
    Yaml,
    Json,
}

/// A group: its name, its hosts and children by index, its variables.
#[derive(Clone, Debug)]
struct Group {
    hosts: Vec<usize>,
    children: Vec<usize>,
    variables: Vec<(usize, usize)>,
}

#[derive(Clone, Debug)]
struct Model {
    format: Format,
    as_folder: bool,
    /// The index in [`HOSTS`] of each host's name.
    hosts: Vec<usize>,
    ports: Vec<Option<u16>>,
    groups: Vec<Group>,
    /// Variables of hosts on the line that names them first: name and value.
    own: Vec<Vec<(usize, usize)>>,
    /// Files of variables, each for a group or host in one form.
    files: Vec<VariableFile>,
}

/// The variables of a group or host, by number, and the form of the file.
type VariableFile = (usize, usize, Vec<(usize, usize)>);

const GROUPS: [&str; 9] =
    ["all", "kube_control_plane", "etcd", "kube_node", "k8s_cluster", "rack_a", "Rack-b", "zone", "ungrouped"];
const HOSTS: [&str; 12] = [
    "n1",
    "n2",
    "db-01",
    "gate.example.com",
    "192.0.2.31",
    "w[1:3]",
    "x[01:05:2].example.com",
    "192.0.2.[41:42]",
    "r[a:b]-[1:2]",
    "rack-c",
    "up",
    "zone",
];
const NAMES: [&str; 12] = [
    "ansible_user",
    "ansible_port",
    "ansible_ssh_private_key_file",
    "ansible_become",
    "ansible_ssh_common_args",
    "node_labels",
    "node_taints",
    "etcd_member_name",
    "ip",
    "access_ip",
    "site_value",
    "ansible_group_priority",
];

/// Values as written in a host's line of an INI file, for each of [`NAMES`].
fn ini_word(name: usize, value: usize) -> &'static str {
    let all: &[&str] = match NAMES[name] {
        "ansible_user" => &["root", "'the admin'", "\"ops\"", "a#b", "u\\ v", "''", "admin # really"],
        "ansible_port" => &["22", "'2222'", "\"22\"", "0x16", "2_2"],
        "ansible_ssh_private_key_file" => &["~/.ssh/k", "'/keys/my key'", "\"\"", "/k"],
        "ansible_become" => &["true", "True", "yes", "no", "False", "1", "0", "y", "'off'", "t"],
        "ansible_ssh_common_args" => &[
            "'-o ProxyCommand=\"ssh -W %h:%p -q u@198.51.100.7\"'",
            "'-o ProxyJump=u@198.51.100.7:22 -C'",
            "\"-o StrictHostKeyChecking=no\"",
            "'-o ProxyCommand=\"ssh -i keys/g -p 2222 -W %h:%p 198.51.100.7\"'",
            "'-J a,b'",
            "\"-o ProxyCommand='ssh u@h -W %h:%p'\"",
            "-C",
            "''",
        ],
        "node_labels" => {
            &["'{\"disk\": \"ssd\"}'", "\"{'a': 1, 'b': True}\"", "{\"a\":\"b\"}", "'{\"a\": true}'", "{}", "x"]
        }
        "node_taints" => &["'[\"a=b:NoSchedule\"]'", "\"['a:NoExecute', 'b=c:NoSchedule']\"", "[]", "a=b:NoSchedule"],
        "etcd_member_name" => &["etcd1", "''"],
        "ip" | "access_ip" => &["192.0.2.1", "192.0.2.77", "\"192.0.2.8\""],
        "ansible_group_priority" => &["5", "10"],
        _ => &[
            "1.50",
            "1e3",
            "None",
            "[1, 2]",
            "'a' 'b'",
            "\"'q'\"",
            "b'x'",
            "010",
            "(1,)",
            "-3",
            "\"a=b\"",
            "{'x': [1, None]}",
            "0b101",
            "'it''s'",
            "\"(1)\"",
            "\"\\\"d\\\"\"",
            "1_",
            "....",
            "a\"b\"c",
        ],
    };
    all[value % all.len()]
}

/// Values as written behind `=` in a section of variables.
fn ini_line(name: usize, value: usize) -> &'static str {
    let all: &[&str] = match NAMES[name] {
        "ansible_user" => &["root", "'the admin'", "\"ops\"  # why not", "a#b", "", "bare words"],
        "ansible_port" => &["22", "22 # as usual", "'2222'", "0x16"],
        "ansible_become" => &["true", "True", "yes", "no", "False # x", "1", "f", "on"],
        "ansible_ssh_common_args" => &[
            "'-o ProxyCommand=\"ssh -W %h:%p -q u@198.51.100.7\"'",
            "-o ProxyJump=u@198.51.100.7",
            "\"-o ProxyCommand='ssh -l u -W %h:%p g'\"",
            "-C",
            "'-o ProxyCommand=\"ssh -o StrictHostKeyChecking=no -o Port=23 -i \\'/k y\\' -W %h:%p u@g\" -C'",
        ],
        "node_labels" => &["{\"disk\":\"ssd\"}", "{'a': 'b', 'a': 'c',}", "{\"a\": true}", "{'n': 1.5, 'none': None}"],
        "node_taints" => &["[\"a=b:NoSchedule\"]", "['a:NoExecute', ]", "('a=b:NoSchedule',)", "a=b:NoSchedule"],
        "ansible_ssh_private_key_file" => &["~/.ssh/k", "", "'/keys/my key'"],
        "etcd_member_name" | "ip" | "access_ip" | "ansible_group_priority" => return ini_word(name, value),
        _ => &[
            "1.50",
            "'x' # y",
            "'x' y",
            "[1,\"2\",'3']",
            "{'a': {'b': []}}",
            "a = b",
            "u'ä'",
            "'\\x41\\n'",
            "\"\"\"t\"\"\"",
            "0o17",
            "+1",
            "--1",
            "{1: 2}",
            "ä",
        ],
    };
    all[value % all.len()]
}

/// Values in YAML.
fn yaml(name: usize, value: usize) -> &'static str {
    let all: &[&str] = match NAMES[name] {
        "ansible_user" => &["root", "'the admin'", "\"op\\x73\"", "''", "~", "no one # really"],
        "ansible_port" => &["22", "'2222'", "0x16", "2_2", "026", "\"22\""],
        "ansible_ssh_private_key_file" => &["~/.ssh/k", "\"/keys/my key\"", "''", "/k"],
        "ansible_become" => &["true", "yes", "No", "off", "'y'", "t", "1", "0", "\"true\"", "n"],
        "ansible_ssh_common_args" => &[
            "'-o ProxyCommand=\"ssh -W %h:%p -q u@198.51.100.7\"'",
            "-o ProxyJump=u@198.51.100.7:22 -C",
            "\"-J a,b\"",
            "-C",
            "''",
            "\"-o ProxyCommand='ssh -i keys/g -p 2222 -W %h:%p 198.51.100.7'\"",
        ],
        "node_labels" => &[
            "{disk: ssd, gpu: yes}",
            "{a: 1, b: 1.0, c: ~}",
            "{'x/y': \"yes\", d: 0755}",
            "[a]",
            "x",
            "{}",
            "{<<: {a: b, c: d}, c: e}",
        ],
        "node_taints" => &["['a=b:NoSchedule']", "[a:NoExecute, \"b=c:NoSchedule\"]", "[]", "a=b:NoSchedule"],
        "etcd_member_name" => &["etcd1", "''"],
        "ip" | "access_ip" => &["192.0.2.1", "'192.0.2.77'", "\"192.0.2.8\""],
        "ansible_group_priority" => &["5", "'10'"],
        _ => &[
            "1.50",
            "1e3",
            "1.0e+3",
            "~",
            "1:30",
            "0o17",
            "089",
            "[a, 1, yes, {b: c}]",
            "!!str 12",
            ".5",
            "-.5",
            "+12",
            "0b11",
            "190:20:30",
            "Null",
            "=",
            "!unsafe '{{ x }}'",
            "\"\\u00e4\\t\"",
            "'it''s'",
            "10.0.0.0/8",
            "a: b",
        ],
    };
    // Now and then a form that YAML does not take, so that a file is refused.
    if all[value % all.len()] == "a: b" && !value.is_multiple_of(5) { "a b" } else { all[value % all.len()] }
}

/// Values in JSON.
fn json(name: usize, value: usize) -> &'static str {
    let all: &[&str] = match NAMES[name] {
        "ansible_user" => &["\"root\"", "\"the admin\"", "\"\"", "null", "\"\\u006fps\""],
        "ansible_port" => &["22", "\"2222\""],
        "ansible_ssh_private_key_file" => &["\"~/.ssh/k\"", "\"\""],
        "ansible_become" => &["true", "false", "\"yes\"", "1", "\"f\""],
        "ansible_ssh_common_args" => {
            &["\"-o ProxyCommand=\\\"ssh -W %h:%p -q u@198.51.100.7\\\"\"", "\"-J u@h:22\"", "\"\""]
        }
        "node_labels" => &["{\"disk\": \"ssd\", \"gpu\": true}", "{\"a\": 1, \"b\": null}", "[]"],
        "node_taints" => &["[\"a=b:NoSchedule\"]", "\"a=b:NoSchedule\""],
        "etcd_member_name" => &["\"etcd1\""],
        "ip" | "access_ip" => &["\"192.0.2.1\"", "\"192.0.2.77\""],
        "ansible_group_priority" => &["5"],
        _ => &["1.5", "-1e3", "\"yes\"", "\"1\"", "[1, [2, {\"a\": {}}]]", "null", "\"a\\/b\"", "{\"a\": 1, \"a\": 2}"],
    };
    all[value % all.len()]
}

/// `count` inventories, the same ones each time.
pub(super) fn inventories(count: usize) -> Vec<Inventory> {
    let mut runner = TestRunner::deterministic();
    let strategy = model();
    (0..count).map(|_| written(&strategy.new_tree(&mut runner).unwrap().current())).collect()
}

fn model() -> impl Strategy<Value = Model> {
    let assignment = || (0..NAMES.len(), 0_usize..1_000);
    let group = (
        prop::collection::vec(0_usize..8, 0..4),
        prop::collection::vec(0_usize..GROUPS.len(), 0..3),
        prop::collection::vec(assignment(), 0..3),
    );
    let group = group.prop_map(|(hosts, children, variables)| Group { hosts, children, variables });
    let file = (0_usize..16, 0_usize..5, prop::collection::vec(assignment(), 1..4));
    (
        select(vec![Format::Ini, Format::Yaml, Format::Json]),
        any::<bool>(),
        prop::sample::subsequence((0..HOSTS.len()).collect::<Vec<_>>(), 3..8),
        prop::collection::vec(prop::option::weighted(0.2, 1_u16..9_999), 8),
        prop::collection::vec(group, GROUPS.len()),
        prop::collection::vec(prop::collection::vec(assignment(), 0..3), 8),
        prop::collection::vec(file, 0..5),
    )
        .prop_map(|(format, as_folder, hosts, ports, groups, own, files)| Model {
            format,
            as_folder,
            hosts,
            ports,
            groups,
            own,
            files,
        })
}

impl Model {
    fn host(&self, index: usize) -> &'static str {
        HOSTS[self.hosts[index % self.hosts.len()]]
    }

    fn pattern(&self, index: usize) -> String {
        let port = self.ports[index % self.ports.len()].map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{port}", self.host(index))
    }

    /// The children of a group. They come later in the list, so that no group is above itself.
    fn children(&self, group: usize) -> Vec<usize> {
        let mut children: Vec<_> =
            self.groups[group].children.iter().copied().filter(|child| *child > group && *child < 8).collect();
        children.dedup();
        children
    }

    /// The address from a host's own line; nearly all hosts have one.
    fn address(index: usize, variables: &[(usize, usize)]) -> Option<String> {
        (index % 7 != 6 || variables.is_empty()).then(|| format!("198.51.100.{}", index + 1))
    }
}

fn written(model: &Model) -> Inventory {
    let (name, text) = match model.format {
        Format::Ini => (if model.as_folder { "inventory.ini" } else { "hosts" }, ini_text(model)),
        Format::Yaml => ("hosts.yaml", yaml_text(model)),
        Format::Json => ("hosts.json", json_text(model)),
    };
    let mut files = vec![(name.to_owned(), text)];
    for (entity, form, variables) in &model.files {
        let of = |write: fn(usize, usize) -> &'static str| {
            variables.iter().map(|(name, value)| (NAMES[*name], write(*name, *value))).collect::<Vec<_>>()
        };
        let (base, entity) =
            if *entity < GROUPS.len() { ("group_vars", GROUPS[*entity]) } else { ("host_vars", model.host(*entity)) };
        let yaml_file: Vec<_> = of(yaml).iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        let yaml_file = yaml_file.concat();
        let json_file: Vec<_> = of(json).iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        let (end, text) = match form {
            0 => (".yml", yaml_file),
            1 => (".yaml", yaml_file),
            2 => (".json", format!("{{{}}}\n", json_file.join(",\n\t"))),
            3 => ("/b.yml", yaml_file),
            _ => ("", yaml_file),
        };
        let path = format!("{base}/{entity}{end}");
        let collides = |(other, _): &(String, String)| {
            *other == path || other.starts_with(&format!("{path}/")) || path.starts_with(&format!("{other}/"))
        };
        if !files.iter().any(collides) {
            files.push((path, text));
        }
    }
    Inventory { files, as_folder: model.as_folder }
}

fn ini_text(model: &Model) -> String {
    let mut text = String::from("; made by chance\n");
    for index in 0..model.hosts.len() {
        let own = &model.own[index];
        let address = Model::address(index, own).map(|address| format!(" ansible_host={address}")).unwrap_or_default();
        let own: Vec<_> =
            own.iter().map(|(name, value)| format!(" {}={}", NAMES[*name], ini_word(*name, *value))).collect();
        writeln!(text, "{}{address}\t{}", model.pattern(index), own.concat()).unwrap();
    }
    for (index, group) in model.groups.iter().enumerate() {
        let name = GROUPS[index];
        writeln!(text, "\n[{name}]  # of hosts").unwrap();
        for &host in &group.hosts {
            writeln!(text, "{}", model.host(host)).unwrap();
        }
        let children = model.children(index);
        if !children.is_empty() {
            writeln!(text, "[{name}:children]").unwrap();
            for child in children {
                writeln!(text, "{}", GROUPS[child]).unwrap();
            }
        }
        if !group.variables.is_empty() {
            writeln!(text, "[{name}:vars]").unwrap();
            for (variable, value) in &group.variables {
                writeln!(text, "{} = {}", NAMES[*variable], ini_line(*variable, *value)).unwrap();
            }
        }
    }
    text
}

fn yaml_text(model: &Model) -> String {
    let mut text = String::from("---\n");
    for (index, group) in model.groups.iter().enumerate() {
        writeln!(text, "{}:", GROUPS[index]).unwrap();
        if index == 0 || !group.hosts.is_empty() {
            writeln!(text, "  hosts:").unwrap();
        }
        if index == 0 {
            for host in 0..model.hosts.len() {
                let own = &model.own[host];
                writeln!(text, "    '{}':", model.pattern(host)).unwrap();
                if let Some(address) = Model::address(host, own) {
                    writeln!(text, "      ansible_host: {address}").unwrap();
                }
                for (name, value) in own {
                    writeln!(text, "      {}: {}", NAMES[*name], yaml(*name, *value)).unwrap();
                }
            }
        } else {
            for &host in &group.hosts {
                writeln!(text, "    {}:", quoted(model.host(host))).unwrap();
            }
        }
        if !group.variables.is_empty() {
            writeln!(text, "  vars:").unwrap();
            for (name, value) in &group.variables {
                writeln!(text, "    {}: {}", NAMES[*name], yaml(*name, *value)).unwrap();
            }
        }
        let children = model.children(index);
        if !children.is_empty() {
            writeln!(text, "  children:").unwrap();
            for child in children {
                writeln!(text, "    {}:", GROUPS[child]).unwrap();
            }
        }
    }
    text
}

fn quoted(name: &str) -> String {
    if name.contains(['[', ':']) { format!("\"{name}\"") } else { name.to_owned() }
}

fn json_text(model: &Model) -> String {
    let groups = model.groups.iter().enumerate().map(|(index, group)| {
        let hosts: Vec<_> = if index == 0 {
            (0..model.hosts.len())
                .map(|host| {
                    let own = &model.own[host];
                    let address = Model::address(host, own).map(|address| format!("\"ansible_host\": \"{address}\""));
                    let own = own.iter().map(|(name, value)| format!("\"{}\": {}", NAMES[*name], json(*name, *value)));
                    format!(
                        "\"{}\": {{{}}}",
                        model.pattern(host),
                        address.into_iter().chain(own).collect::<Vec<_>>().join(", ")
                    )
                })
                .collect()
        } else {
            group.hosts.iter().map(|&host| format!("\"{}\": null", model.host(host))).collect()
        };
        let variables: Vec<_> = group
            .variables
            .iter()
            .map(|(name, value)| format!("\"{}\": {}", NAMES[*name], json(*name, *value)))
            .collect();
        let children: Vec<_> =
            model.children(index).iter().map(|&child| format!("\"{}\": {{}}", GROUPS[child])).collect();
        format!(
            "\"{}\": {{\"hosts\": {{{}}},\n\t\"vars\": {{{}}},\n\t\"children\": {{{}}}}}",
            GROUPS[index],
            hosts.join(", "),
            variables.join(", "),
            children.join(", ")
        )
    });
    format!("{{{}}}\n", groups.collect::<Vec<_>>().join(",\n"))
}
