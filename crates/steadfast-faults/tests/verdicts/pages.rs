//! The HTML page: its verdict, its links, its bounds, and that text of a run never becomes markup.

use std::collections::BTreeSet;

use roxmltree::{Document, Node};
use steadfast_faults::ledger::event::{ClientEvent, FaultEvent, LossCause, RunEvent, RunPhase};
use steadfast_faults::metrics::Metric;
use steadfast_faults::report::html::LogExcerpt;

use crate::rendered::{element, junit_of, page_of, parsed};
use crate::run::{MILLI, healthy, with_a_lost_message};

#[test]
fn the_page_of_a_failed_run_links_each_failed_check_to_its_evidence() {
    let page = page_of(&with_a_lost_message(), &[]);

    assert!(page.contains("<strong>FAIL</strong>: 1 of 10 required checks violated"));
    let check = "href=\"#check-no-acknowledged-message-lost\"";
    let links = page.matches(check).count();
    assert_eq!(links, 2, "one from the reason, one from the table");
    assert!(page.contains("lost: publication 1 of chat-"), "{page}");
    assert!(page.contains("steadfast lab run &#39;a b.toml&#39; --seed 7"));
}

#[test]
fn every_link_has_a_target_and_every_id_is_unique() {
    let mut run = with_a_lost_message();
    let (victim, lost) = run.victim();
    run.silence(victim, lost);
    let page = page_of(&run, &[]);
    let document = parsed(&page);

    let all = || document.descendants().filter(Node::is_element);
    let ids: Vec<&str> = all().filter_map(|it| it.attribute("id")).collect();
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), unique.len(), "{ids:?}");
    let links = all().filter_map(|it| it.attribute("href")?.strip_prefix('#'));
    let links: BTreeSet<&str> = links.collect();
    assert!(links.len() > 10 && links.is_subset(&unique), "{links:?}");
}

#[test]
fn the_verdict_comes_first() {
    let page = page_of(&with_a_lost_message(), &[]);
    let document = parsed(&page);

    let texts = element(&document, "main").descendants();
    let mut texts = texts.filter_map(|it| it.text().map(str::trim));

    assert_eq!(texts.find(|it| !it.is_empty()), Some("FAIL"));
}

#[test]
fn the_page_has_every_metric_every_check_and_a_table_for_each_plot() {
    let run = healthy();
    let page = page_of(&run, &[]);
    let document = parsed(&page);

    for metric in Metric::ALL {
        assert!(
            page.contains(&format!(">{}</th>", metric.name())),
            "{}",
            metric.name()
        );
    }
    for check in run.evaluate().checks {
        assert!(page.contains(&check.id), "{}", check.id);
    }
    let plots = document
        .descendants()
        .filter(|it| it.attribute("class") == Some("plot"));
    let sections: Vec<_> = plots.filter_map(|it| it.parent()).collect();
    assert_eq!(sections.len(), 3);
    for section in sections {
        let table = section.descendants().find(|it| it.has_tag_name("tbody"));
        let rows = table.unwrap().children().filter(Node::is_element).count();
        assert!(rows >= 10, "{:?} has {rows} rows", section.attribute("id"));
        let lines = section
            .descendants()
            .filter(|it| {
                it.attribute("class")
                    .is_some_and(|class| class.starts_with("line "))
            })
            .filter(|it| it.attribute("d").is_some_and(|path| path.len() > 20));
        assert!(lines.count() >= 2, "{:?}", section.attribute("id"));
    }
}

/// The text of a run is the work of others: clients, servers and scenarios.
#[test]
fn text_of_the_run_never_becomes_markup() {
    const HOSTILE: &str = "</pre><script>alert(1)</script> \"'&\u{1b}[2J";
    let mut run = with_a_lost_message();
    let scenario = include_str!("../../../../scenarios/gateway-kill.toml");
    let hostile = scenario.replace(
        "id = \"no-duplicates\"",
        "id = \"<script>alert(2)</script>\"",
    );
    assert_ne!(scenario, hostile);
    run.use_scenario("gateway-kill", &hostile);
    let fault = run.plan.faults()[0].id;
    let event = FaultEvent::Ineffective(HOSTILE.to_owned());
    run.push(run.begin(RunPhase::Quiet), RunEvent::Fault { fault, event });
    let log = LogExcerpt {
        path: "run/<script>.log".to_owned(),
        bytes: 3,
        lines: vec![HOSTILE.to_owned()],
    };

    let page = page_of(&run, &[log]);
    let file = junit_of(&run);

    for text in [&page, &file] {
        assert!(!text.contains("<script"), "{text}");
        assert!(!text.contains('\u{1b}'));
        assert!(text.contains("&lt;script&gt;alert(1)"), "it is shown");
    }
    Document::parse(&file).unwrap();
    assert!(
        parsed(&page)
            .descendants()
            .all(|it| !it.has_tag_name("script"))
    );
}

#[test]
fn the_page_needs_no_other_file_and_no_network() {
    let page = page_of(&healthy(), &[]);

    for reference in ["http:", "https:", "src=", "@import", "url("] {
        assert!(!page.contains(reference), "{reference}");
    }
}

#[test]
fn the_size_of_the_page_is_bounded_and_lists_that_are_cut_say_so() {
    let mut run = healthy();
    let (reader, message) = run.early_message();
    let quiet = run.begin(RunPhase::Quiet);
    // Far more events than the page may have rows: duplicates, and a connection that ends all the time.
    for number in 0..50_000_u32 {
        let event = ClientEvent::Delivered {
            message: Some(message),
            offset: 1,
        };
        let at = quiet + MILLI * (number / 20);
        run.push(
            at,
            RunEvent::Client {
                client: reader,
                event,
            },
        );
    }
    let steps = run.begin(RunPhase::Steps);
    for number in 0..25_000_u32 {
        for event in [
            ClientEvent::ConnectionLost(LossCause::Reset),
            ClientEvent::Connected,
        ] {
            let at = steps + MILLI / 10 * number;
            run.push(
                at,
                RunEvent::Client {
                    client: reader,
                    event,
                },
            );
        }
    }
    let line = "x".repeat(10_000);
    let logs: Vec<LogExcerpt> = (0..100)
        .map(|number| LogExcerpt {
            path: format!("run/gateway-{number}/service.log"),
            bytes: 1_000_000,
            lines: vec![line.clone(); 40],
        })
        .collect();

    let page = page_of(&run, &logs);

    assert!(run.records.len() > 100_000);
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    assert!(page.contains("duplicate: the first 100 of 50000."));
    assert!(page.contains("80 more logs not shown."));
}
