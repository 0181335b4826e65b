//! The picture: sources at the left, kinds of content at the right, and between them bands whose thickness shows the bytes.
//!
//! Names and sizes are text in it, and its description has all of them, for readers who cannot see it. The table below has the same
//! figures.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use indicatif::HumanBytes;
use maud::{Markup, html};

/// The largest sources are drawn separately, at most this many. All others share one bar.
const MOST_SOURCES: usize = 12;
const OTHERS: &str = "other sources";

/// Measures in units of the picture, which is as wide as the page.
const WIDTH: f64 = 1000.0;
/// The left edges of the sources' bars and of the kinds' bars.
const BARS: [f64; 2] = [330.0, 690.0];
const BAR_WIDTH: f64 = 14.0;
/// The height of all bars together, without the height that small bars are given for their text.
const HEIGHT: f64 = 300.0;
const TEXT_HEIGHT: f64 = 22.0;
const GAP: f64 = 8.0;
/// Colours of bands. No information is in colour alone.
const COLOURS: [&str; 6] = ["#3b6ea5", "#b5651d", "#4b8b3b", "#8a4f9e", "#a33b3b", "#5f6b73"];

/// Bytes by source and kind.
type Bytes<'a> = BTreeMap<(&'a str, &'static str), u64>;

/// Draws the picture; empty if there are no bytes.
pub fn of(bytes: &Bytes<'_>) -> Markup {
    let bytes = with_few_sources(bytes);
    let all: u64 = bytes.values().sum();
    if all == 0 {
        return html! {};
    }
    let sources = column(bytes.iter().map(|((source, _), size)| (*source, *size)), all);
    let kinds = column(bytes.iter().map(|((_, kind), size)| (*kind, *size)), all);
    let height = bottom(&sources).max(bottom(&kinds));
    html! {
        svg viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-labelledby="picture-title picture-text" {
            title id="picture-title" { "Bytes of the bundle by source, at the left, and by what they are, at the right" }
            desc id="picture-text" { (description(&bytes, &sources)) }
            @for (path, colour) in bands(&bytes, &sources, &kinds) { path d=(path) fill=(colour) fill-opacity="0.45" {} }
            @for bar in &sources { (drawn(bar, BARS[0], BARS[0] - 10.0, "end")) }
            @for bar in &kinds { (drawn(bar, BARS[1], BARS[1] + BAR_WIDTH + 10.0, "start")) }
        }
    }
}

fn with_few_sources<'a>(bytes: &Bytes<'a>) -> Bytes<'a> {
    let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
    for ((source, _), size) in bytes {
        *sizes.entry(source).or_default() += size;
    }
    let mut largest: Vec<_> = sizes.into_iter().collect();
    largest.sort_by_key(|(name, size)| (std::cmp::Reverse(*size), *name));
    let named = |source: &str| largest.iter().take(MOST_SOURCES).any(|(name, _)| *name == source);
    let mut few = Bytes::new();
    for ((source, kind), size) in bytes {
        *few.entry((if named(source) { source } else { OTHERS }, *kind)).or_default() += size;
    }
    few
}

/// A source or a kind.
struct Bar<'a> {
    name: &'a str,
    bytes: u64,
    top: f64,
    height: f64,
}

#[expect(clippy::cast_precision_loss, reason = "a picture: half a byte is not seen")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// The bars of a column, the largest first.
fn column<'a>(parts: impl Iterator<Item = (&'a str, u64)>, all: u64) -> Vec<Bar<'a>> {
    let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, size) in parts {
        *sizes.entry(name).or_default() += size;
    }
    let mut sizes: Vec<_> = sizes.into_iter().collect();
    sizes.sort_by_key(|(name, bytes)| (std::cmp::Reverse(*bytes), *name));
    let mut top = 0.0;
    let mut bar = |(name, bytes)| {
        let height = TEXT_HEIGHT.max(HEIGHT * share(bytes, all));
        let bar = Bar { name, bytes, top, height };
        top += height + GAP;
        bar
    };
    sizes.into_iter().map(&mut bar).collect()
}

fn bottom(bars: &[Bar<'_>]) -> f64 {
    bars.last().map_or(0.0, |bar| bar.top + bar.height)
}

/// A band for each source and kind: its path, and its source's colour.
fn bands(bytes: &Bytes<'_>, sources: &[Bar<'_>], kinds: &[Bar<'_>]) -> Vec<(String, &'static str)> {
    let mut used_of_kind: BTreeMap<&str, f64> = BTreeMap::new();
    let mut bands = Vec::new();
    for (source, colour) in sources.iter().zip(COLOURS.iter().cycle()) {
        let mut used_of_source = 0.0;
        for kind in kinds {
            let Some(size) = bytes.get(&(source.name, kind.name)) else { continue };
            let used = used_of_kind.entry(kind.name).or_default();
            let from = (source.top + used_of_source, source.height * share(*size, source.bytes));
            let to = (kind.top + *used, kind.height * share(*size, kind.bytes));
            (used_of_source, *used) = (used_of_source + from.1, *used + to.1);
            bands.push((band(from, to), *colour));
        }
    }
    bands
}

/// The path of a band between two bars: its top and its height at each end.
fn band((from, from_height): (f64, f64), (to, to_height): (f64, f64)) -> String {
    let (left, right) = (BARS[0] + BAR_WIDTH, BARS[1]);
    let middle = f64::midpoint(left, right);
    format!(
        "M{left} {from:.1}C{middle} {from:.1} {middle} {to:.1} {right} {to:.1}V{:.1}C{middle} {:.1} {middle} {:.1} {left} {:.1}Z",
        to + to_height,
        to + to_height,
        from + from_height,
        from + from_height,
    )
}

fn drawn(bar: &Bar<'_>, left: f64, text: f64, anchor: &str) -> Markup {
    let Bar { name, bytes, top, height } = bar;
    html! {
        rect x=(left) y=(format!("{top:.1}")) width=(BAR_WIDTH) height=(format!("{height:.1}")) fill="#333" {}
        text x=(text) y=(format!("{:.1}", top + height / 2.0)) text-anchor=(anchor) dominant-baseline="central" font-size="15" {
            (name) ", " (HumanBytes(*bytes))
        }
    }
}

/// The picture in sentences.
fn description(bytes: &Bytes<'_>, sources: &[Bar<'_>]) -> String {
    let mut text = String::new();
    for source in sources {
        let of_source = bytes.iter().filter(|((name, _), _)| *name == source.name);
        let kinds: Vec<_> = of_source.map(|((_, kind), size)| format!("{kind} {}", HumanBytes(*size))).collect();
        // Writing to a string cannot fail.
        let _ = write!(text, "{}: {} ({}). ", source.name, HumanBytes(source.bytes), kinds.join(", "));
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(tag: &str, name: &str) -> f64 {
        let (_, rest) = tag.split_once(&format!(" {name}=\"")).unwrap();
        rest.split_once('"').unwrap().0.parse().unwrap()
    }

    #[test]
    fn bars_are_as_high_as_there_are_bytes_and_never_too_low_for_their_text() {
        let bytes = [(("a.example", "images"), 900), (("b.example", "binaries"), 90), (("b.example", "images"), 10)];
        let picture = of(&bytes.into()).into_string();
        let bars: Vec<_> =
            picture.split("<rect").skip(1).map(|bar| (attribute(bar, "y"), attribute(bar, "height"))).collect();
        assert_eq!(bars, [(0.0, 270.0), (278.0, 30.0), (0.0, 273.0), (281.0, 27.0)]);
        assert_eq!(picture.matches("<path").count(), 3, "{picture}");
        assert!(picture.contains("b.example: 100 B (binaries 90 B, images 10 B)."), "{picture}");
    }

    #[test]
    fn many_sources_share_a_bar_and_no_byte_is_lost() {
        let names: Vec<_> = (0..40).map(|number| format!("host{number:02}.example")).collect();
        let bytes: Bytes<'_> = names.iter().map(|name| ((name.as_str(), "images"), 7)).collect();
        let picture = of(&bytes).into_string();
        assert_eq!(picture.matches("<rect").count(), MOST_SOURCES + 2, "{picture}");
        assert!(picture.contains("other sources, 196 B") && picture.contains("images, 280 B"), "{picture}");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(of(&Bytes::new()).into_string(), "");
        assert_eq!(of(&[(("a", "images"), 0)].into()).into_string(), "");
    }
}
