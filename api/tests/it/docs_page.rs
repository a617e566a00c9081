//! The interactive documentation in a real browser that can reach only this machine.

use crate::harness::api_process::ApiCommand;
use crate::harness::installed::program;
use reckon_api::store::sqlite;
use std::process::Command;

#[tokio::test]
async fn the_documentation_shows_every_route_in_a_browser_without_internet() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("empty.db");
    sqlite::create(&data).await.unwrap();
    let api = ApiCommand::new().env("RECKON_DATA", data).spawn();
    api.live().await;
    let mut browser = Command::new(program("chromium", "chromium"));
    browser
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .args([
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
            "--virtual-time-budget=10000",
        ])
        .arg(format!(
            "--user-data-dir={}",
            directory.path().join("profile").display()
        ))
        .args(["--dump-dom", &format!("{}/docs/", api.url())]);
    let page = tokio::task::spawn_blocking(move || browser.output())
        .await
        .unwrap()
        .unwrap();
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    let routes = [
        "/recommend/",
        "/batch-recommend",
        "/invalidate-cache/all",
        "/warm-cache",
        "/health",
        "/stats",
    ];
    for route in routes {
        // Swagger UI puts a zero-width space before each slash.
        let shown = route.replace('/', "\u{200b}/");
        assert!(
            page.contains(&shown),
            "{route} is not on the page of {} bytes",
            page.len()
        );
    }
    assert!(!page.contains("validator.swagger.io"));
}
