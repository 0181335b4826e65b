//! Text files with places for values, `{{name}}`, embedded from `manifests/templates`.

/// `template` with each `{{name}}` replaced by its value.
///
/// # Panics
/// When a placeholder has no value, or a value has no placeholder: both are errors of this program, which its tests find.
#[must_use]
pub fn render(template: &str, values: &[(&str, &str)]) -> String {
    let mut text = String::new();
    let mut rest = template;
    let mut used = vec![false; values.len()];
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").expect("a place in a template is closed");
        let index = values.iter().position(|(known, _)| *known == name);
        let index = index.unwrap_or_else(|| panic!("a template wants {name}, which nobody gives"));
        used[index] = true;
        text.push_str(before);
        text.push_str(values[index].1);
        rest = after;
    }
    assert!(used.iter().all(|&used| used), "a value is given that the template has no place for");
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_take_their_places_and_are_not_read_again() {
        assert_eq!(render("a {{x}} {{y}} {{x}}\n", &[("x", "{{y}}"), ("y", "2")]), "a {{y}} 2 {{y}}\n");
    }

    #[test]
    #[should_panic(expected = "which nobody gives")]
    fn a_place_without_a_value_is_a_mistake() {
        let _ = render("{{x}}", &[]);
    }
}
