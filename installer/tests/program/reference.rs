//! The published reference of `cluster.yaml` matches the types. Run with `UPDATE_SCHEMA=1` to write it again.

use fs_err as fs;
use kbundle_cli::Program as _;
use kbundle_cli::definition::commands;
use kbundle_manual::examples::assert_current;
use kinstall::cli::Cli;
use kinstall::config;
use kinstall::config::change::{Effect, effect_of};
use kinstall::import::inventory::{self, Fate, Row};
use serde_json::Value;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");

#[test]
fn the_published_schema_is_that_of_the_types() {
    assert_current("cluster.schema.json", &format!("{:#}\n", config::schema()));
}

#[test]
fn the_published_schemas_of_documents_are_those_of_the_types() {
    let mut described: Vec<_> = Cli::documents().iter().map(|documents| documents.command().to_owned()).collect();
    described.sort();
    let mut all = commands::<Cli>();
    all.sort();
    assert_eq!(described, all, "every command says what it prints with `--output json`");
    for documents in Cli::documents() {
        let name = format!("schemas/kinstall/{}.schema.json", documents.command().replace(' ', "-"));
        assert_current(&name, &format!("{:#}\n", documents.schema("kinstall")));
    }
    assert_eq!(
        fs::read_dir(format!("{DOCS}/schemas/kinstall")).unwrap().count(),
        all.len(),
        "a file without a command"
    );
}

#[test]
fn the_page_has_every_key() {
    const END: &str = "<!-- end of keys -->";
    let page = fs::read_to_string(format!("{DOCS}/cluster-yaml.md")).unwrap();
    let (before, rest) = page.split_once("reference`. -->\n").unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let schema = config::schema();
    let mut table = vec![
        "| key | meaning | value | default | on a standing cluster |".to_owned(),
        "|---|---|---|---|---|".to_owned(),
    ];
    rows(&schema, &schema, "", &mut table);
    assert!(table.len() > 30, "{table:?}");
    let table = table.join("\n");
    assert_current("cluster-yaml.md", &format!("{before}reference`. -->\n\n{table}\n\n{END}{after}"));
}

#[test]
fn the_page_has_every_port() {
    const END: &str = "<!-- end of ports -->";
    let page = fs::read_to_string(format!("{DOCS}/reference/environment.md")).unwrap();
    let (before, rest) = page.split_once("--test program reference`. -->\n").unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let table = kinstall::ports::table();
    assert_current(
        "reference/environment.md",
        &format!("{before}--test program reference`. -->\n\n{table}\n\n{END}{after}"),
    );
}

/// Adds a row for each key of `object` and of the objects in it.
fn rows(schema: &Value, object: &Value, place: &str, table: &mut Vec<String>) {
    for (key, property) in object["properties"].as_object().unwrap() {
        let inner = resolve(schema, property);
        let place = format!("{place}{key}");
        let meaning = property.get("description").or(inner.get("description")).unwrap().as_str().unwrap();
        let default = property.get("default").filter(|default| !default.is_object() && !default.is_null());
        let default = default.map(|default| format!("`{}`", default.to_string().trim_matches('"'))).unwrap_or_default();
        let (value, nested) = value(schema, inner);
        let again = nested.is_some() && place == "hosts[].ssh";
        let value = if again { "as `ssh`".to_owned() } else { value };
        let change = can_change(&place);
        table.push(format!("| `{place}` | {} | {value} | {default} | {change} |", meaning.replace('\n', " ")));
        match nested {
            Some((inner, list)) if !again => {
                rows(schema, inner, &format!("{place}{}.", if list { "[]" } else { "" }), table);
            }
            _ => {}
        }
    }
}

/// Whether a run changes a key of an existing cluster; empty if the keys inside of it say that.
fn can_change(place: &str) -> String {
    match effect_of(place) {
        None => String::new(),
        Some(Effect::RolledOut { restarts: None, .. }) => "changes".to_owned(),
        Some(Effect::RolledOut { restarts: Some(what), .. }) => format!("changes; restarts {what}"),
        Some(Effect::Refused { .. }) => "stays".to_owned(),
        Some(Effect::NewHosts { .. }) => "for new hosts".to_owned(),
    }
}

/// The schema that a reference, or a choice between something and nothing, stands for.
fn resolve<'a>(schema: &'a Value, value: &'a Value) -> &'a Value {
    if let Some(reference) = value["$ref"].as_str() {
        return schema.pointer(&reference[1..]).unwrap();
    }
    value["anyOf"][0].as_object().map_or(value, |_| resolve(schema, &value["anyOf"][0]))
}

/// A map whose keys are the user's or those of Kubernetes.
fn map_of(schema: &Value, values: &Value) -> &'static str {
    if values.is_boolean() {
        return "fields, as Kubernetes names them";
    }
    match resolve_type(schema, values) {
        Some("object") => "map of maps",
        Some("boolean") => "map of `true`, `false`",
        Some("string") => "map of texts",
        _ => "map of texts, numbers, `true`, `false`, or lists of these",
    }
}

fn resolve_type<'a>(schema: &'a Value, value: &'a Value) -> Option<&'a str> {
    let named = value["$ref"].as_str().and_then(|reference| schema.pointer(&reference[1..]));
    named.unwrap_or(value)["type"].as_str()
}

/// What may be written, and the object that it is made of, with whether there is a list of them.
fn value<'a>(schema: &'a Value, inner: &'a Value) -> (String, Option<(&'a Value, bool)>) {
    if let Some(choices) = inner["oneOf"].as_array() {
        let choice = |choice: &Value| {
            let (name, meaning) = (choice["const"].as_str().unwrap(), choice["description"].as_str().unwrap());
            format!("`{name}`: {}", meaning.replace('\n', " "))
        };
        return (choices.iter().map(choice).collect::<Vec<_>>().join("<br>"), None);
    }
    if let [one, list] = inner["anyOf"].as_array().map(Vec::as_slice).unwrap_or_default()
        && list["type"] == "array"
    {
        let (text, _) = value(schema, resolve(schema, one));
        return (format!("{text}, or a list of them"), None);
    }
    let Some(kind) = inner["type"].as_str().or(inner["type"][0].as_str()) else {
        return ("map or list".to_owned(), None);
    };
    match kind {
        "array" => {
            let item = resolve(schema, &inner["items"]);
            let (text, _) = value(schema, item);
            if item["properties"].is_object() {
                ("list".to_owned(), Some((item, true)))
            } else {
                (format!("list: {text}"), None)
            }
        }
        "object" if inner["properties"].is_object() => (String::new(), Some((inner, false))),
        "object" => (map_of(schema, &inner["additionalProperties"]).to_owned(), None),
        "boolean" => ("`true`, `false`".to_owned(), None),
        "integer" => ("number".to_owned(), None),
        _ if inner["format"] == "ip" => ("address".to_owned(), None),
        _ if inner["pattern"].as_str().is_some_and(|pattern| pattern.contains('/')) => ("network".to_owned(), None),
        _ if inner["pattern"].is_string() => ("DNS name".to_owned(), None),
        _ => ("text".to_owned(), None),
    }
}

/// The tables of Kubespray's variables are the ones that the import uses.
#[test]
fn the_page_has_every_variable() {
    const END: &str = "<!-- end of variables -->";
    let page = fs::read_to_string(format!("{DOCS}/how-to/kubespray.md")).unwrap();
    let (before, rest) = page.split_once("reference`. -->\n").unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let names = |row: &Row| row.names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let mut taken = vec!["| variables | become |".to_owned(), "|---|---|".to_owned()];
    let mut left = vec!["| variables | are left out, because |".to_owned(), "|---|---|".to_owned()];
    for row in inventory::variable_rows() {
        match row.fate {
            Fate::Taken(key) => taken.push(format!("| {} | {key} |", names(row))),
            Fate::Left(reason) => left.push(format!("| {} | {reason} |", names(row))),
            Fate::LeftWhereOn(reason) => {
                left.push(format!("| {} | {reason}; nothing is said of what is false or empty |", names(row)));
            }
        }
    }
    assert!(taken.len() > 20 && left.len() > 15);
    let tables = format!("{}\n\n{}", taken.join("\n"), left.join("\n"));
    assert_current("how-to/kubespray.md", &format!("{before}reference`. -->\n\n{tables}\n\n{END}{after}"));
}
