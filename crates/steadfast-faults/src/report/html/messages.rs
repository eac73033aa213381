//! The single deliveries that violate a guarantee.

use super::{client_name, moment, open_section, tables};
use crate::check::number;
use crate::ledger::{DeliveryProblem, PROBLEMS_MAX, ProblemKind};
use crate::report::Report;
use crate::report::markup::Markup;

pub(super) fn write(page: &mut Markup, report: &Report<'_>) {
    open_section(page, "messages", "Violations by delivery");
    let problems = &report.ledger.problems;
    if problems.is_empty() {
        page.leaf(
            "p",
            &[],
            "No delivery was lost, duplicate, reordered or unexpected.",
        );
        page.close();
        return;
    }
    tables::open(
        page,
        "Deliveries that violate a guarantee",
        &["what", "publication", "of", "published", "to", "delivered"],
    );
    for problem in problems {
        write_row(page, report, problem);
    }
    tables::close(page);
    for kind in ProblemKind::ALL {
        let listed = problems.iter().filter(|it| it.kind == kind).count();
        if let Some(total) = number(kind.metric(), report.ledger)
            && listed == PROBLEMS_MAX
        {
            let text = format!("{}: the first {listed} of {total}.", kind.name());
            page.leaf("p", &[("class", &"note")], text);
        }
    }
    page.close();
}

fn write_row(page: &mut Markup, report: &Report<'_>, problem: &DeliveryProblem) {
    let at = |at: Option<_>| at.map_or_else(|| "-".to_owned(), |at| moment(report, at));
    page.open("tr", &[]);
    tables::heading(page, problem.kind.name());
    let (sequence, publisher) = match problem.message {
        Some(id) => (id.sequence.to_string(), client_name(report, id.publisher)),
        None => ("unknown".to_owned(), "unknown".to_owned()),
    };
    tables::cell(page, sequence);
    tables::cell(page, publisher);
    tables::cell(page, at(problem.published));
    tables::cell(page, client_name(report, problem.subscriber));
    tables::cell(page, at(problem.delivered));
    page.close();
}
