//! Tests pages in a real Chromium; `ci/report-page` runs this.
//!
//! The pages are one that is made here, and those of both programs in the folder `$KBUNDLE_PAGES`. A picture of each is put beside it.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod browser;
mod pages;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;

use fantoccini::Locator;
use fantoccini::key::Key;
use serde_json::{Value, json};

use self::browser::{Browser, printed_text, processes_with, requests_in};
use self::pages::{PACKAGES, pages};

/// A page that requests something from elsewhere, to check that the log of the network has it.
const CURIOUS: &str = "<!DOCTYPE html><title>curious</title><img src='http://127.0.0.1:PORT/seen.png'>";

async fn evaluate(browser: &Browser, script: &str) -> Value {
    browser.client.execute(&format!("{}\n{script}", include_str!("look.js")), vec![]).await.unwrap()
}

#[tokio::test]
#[ignore = "needs Chromium: ./ci/report-page"]
async fn pages_render_with_headings_in_order_and_colours_that_can_be_read() {
    let browser = Browser::start().await;
    for page in pages() {
        browser.open(&page).await;
        let said = evaluate(&browser, "return outline()").await;
        assert_eq!(said["problems"], json!([]), "{}: {said}", page.display());
        assert!(said["headings"].as_u64() > Some(2) && said["tables"].as_u64() > Some(0), "{}: {said}", page.display());
        let faint = evaluate(&browser, "return faint()").await;
        assert_eq!(faint["problems"], json!([]), "{}", page.display());
        assert!(faint["looked"].as_u64() > Some(20), "{}: {faint}", page.display());
        let picture = browser.client.screenshot().await.unwrap();
        fs_err::write(page.with_extension("png"), picture).unwrap();
    }
    // The check works: it finds text that is hard to read, and a missing heading.
    let faint = "document.querySelector('h1').style.setProperty('color', '#999'); return faint()";
    assert_eq!(evaluate(&browser, faint).await["problems"].as_array().unwrap().len(), 1);
    let skipped = "document.querySelector('h2').outerHTML = '<h4>deep</h4>'; return outline()";
    assert_eq!(evaluate(&browser, skipped).await["problems"].as_array().unwrap().len(), 1);
    browser.end().await;
}

#[tokio::test]
#[ignore = "needs Chromium: ./ci/report-page"]
async fn every_column_sorts_by_the_mouse() {
    let browser = Browser::start().await;
    for page in pages() {
        browser.open(&page).await;
        let tables = evaluate(&browser, "return tables().length").await.as_u64().unwrap();
        for table in 0..tables {
            let columns = evaluate(&browser, &format!("return columns({table})")).await.as_u64().unwrap();
            for column in 0..columns {
                let path = format!("(//table)[{}]/thead/tr/th[{}]/button", table + 1, column + 1);
                let button = browser.client.find(Locator::XPath(&path)).await.unwrap();
                for direction in ["ascending", "descending"] {
                    button.click().await.unwrap();
                    let order = evaluate(&browser, &format!("return order({table}, {column})")).await;
                    assert_eq!(order, json!({ "direction": direction, "wrong": 0 }), "{}", page.display());
                }
            }
        }
    }
    browser.end().await;
}

#[tokio::test]
#[ignore = "needs Chromium: ./ci/report-page"]
async fn rows_are_found_and_sorted_by_the_keyboard_alone() {
    let browser = Browser::start().await;
    for page in pages() {
        browser.open(&page).await;
        // From the top: links to the sections, then the search of the first table, then its headings.
        browser.press_until(&Key::Tab, "document.activeElement.matches('.search input')").await;
        let name = evaluate(&browser, "return rare(0)").await.as_str().unwrap().to_owned();
        browser.active().await.send_keys(&name).await.unwrap();
        let found = evaluate(&browser, "return shown(0)").await;
        assert_eq!(found["wrong"], json!(0), "{}: {name}: {found}", page.display());
        assert!(found["shown"].as_u64() > Some(0), "{}: {name}: {found}", page.display());
        assert_eq!(found["count"], json!(format!("{} shown", found["shown"])), "{}", page.display());
        browser.press_until(&Key::Tab, "document.activeElement.matches('th button')").await;
        for direction in ["ascending", "descending"] {
            browser.active().await.send_keys(&Key::Enter.to_string()).await.unwrap();
            let order = evaluate(&browser, "return order(0, 0)").await;
            assert_eq!(order, json!({ "direction": direction, "wrong": 0 }), "{}", page.display());
        }
        // The element with the focus is visible.
        assert_eq!(
            evaluate(&browser, "return getComputedStyle(document.activeElement).outlineStyle").await,
            json!("solid")
        );
    }
    browser.end().await;
}

#[tokio::test]
#[ignore = "needs Chromium: ./ci/report-page"]
async fn five_thousand_rows_are_searched_and_the_rest_comes_back() {
    let browser = Browser::start().await;
    browser.open(&pages::own()).await;
    let input = browser.client.find(Locator::Css(".search input")).await.unwrap();
    input.click().await.unwrap();
    for (words, shown) in [("module42", 111), ("module4217 unknown", 1), ("nothing-has-this", 0)] {
        input.clear().await.unwrap();
        input.send_keys(words).await.unwrap();
        let found = evaluate(&browser, "return shown(0)").await;
        assert_eq!((&found["shown"], &found["wrong"]), (&json!(shown), &json!(0)), "{words}: {found}");
    }
    // Cleared as a reader does it: the page gets no event when WebDriver clears a field.
    input.send_keys(&format!("{}a{}{}", Key::Control, Key::Null, Key::Backspace)).await.unwrap();
    assert_eq!(evaluate(&browser, "return shown(0).shown").await, json!(PACKAGES));
    browser.end().await;
}

#[tokio::test]
#[ignore = "needs Chromium: ./ci/report-page"]
async fn no_request_leaves_even_where_somebody_put_one_into_the_page() {
    let browser = Browser::start().await;
    for page in pages() {
        browser.open(&page).await;
        assert_eq!(evaluate(&browser, "return performance.getEntriesByType('resource').length").await, json!(0));
        for ask in include_str!("asks.txt").lines() {
            let script = include_str!("refused.js").replace("ASK", ask);
            let refused = browser.client.execute_async(&script, vec![]).await.unwrap();
            assert_ne!(refused, json!(null), "{}: {ask}", page.display());
        }
    }
    let log = browser.end().await;
    assert_eq!(requests_in(&log), BTreeSet::new());
}

#[tokio::test]
#[ignore = "needs Chromium: ./ci/report-page"]
async fn a_page_that_asks_for_something_would_be_seen() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("curious.html");
    fs_err::write(&page, CURIOUS.replace("PORT", &port.to_string())).unwrap();
    let browser = Browser::start().await;
    browser.open(&page).await;
    let log = browser.end().await;
    assert_eq!(requests_in(&log), [format!("http://127.0.0.1:{port}/seen.png")].into());
}

#[tokio::test]
#[ignore = "needs Chromium: ./ci/report-page"]
async fn a_test_that_fails_leaves_no_browser_behind() {
    let browser = Browser::start().await;
    let folder = browser.folder().display().to_string();
    assert!(processes_with(&folder) > 1);
    let failed = tokio::spawn(async move {
        browser.open(Path::new("/")).await;
        panic!("as a test does that fails");
    });
    assert!(failed.await.unwrap_err().is_panic());
    assert_eq!(processes_with(&folder), 0);
}

#[test]
#[ignore = "needs Chromium: ./ci/report-page"]
fn pages_print_whole_and_without_controls() {
    let words = |text: &str| text.split_whitespace().collect::<String>();
    for page in pages() {
        let html = fs_err::read_to_string(&page).unwrap();
        let between = |from: &str, to: &str| html.split_once(from).unwrap().1.split_once(to).unwrap().0;
        let text = printed_text(&page);
        let (_, answer) = between("<p class=\"answer", "</p>").split_once('>').unwrap();
        assert!(words(&text).contains(&words(answer)), "{}: {answer}", page.display());
        let last = html.rsplit_once("<h2>").unwrap().1.split_once("</h2>").unwrap().0;
        assert!(words(&text).contains(&words(last)), "{}: {last}", page.display());
        assert!(!text.contains("Search these"), "{}", page.display());
    }
}
