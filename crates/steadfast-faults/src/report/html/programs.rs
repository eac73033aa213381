//! The programs under test with their versions.

use super::{open_section, tables};
use crate::report::Report;
use crate::report::markup::Markup;

pub(super) fn write(page: &mut Markup, report: &Report<'_>) {
    open_section(page, "programs", "Programs");
    if report.programs.is_empty() {
        page.leaf("p", &[], "The run has no record of its programs.");
        page.close();
        return;
    }
    let caption = "The program of each service, and the version that it prints";
    tables::open(page, caption, &["service", "version", "program"]);
    for program in report.programs {
        page.open("tr", &[]);
        tables::heading(page, &program.service);
        tables::cell(page, &program.version);
        page.open("td", &[]);
        page.leaf("code", &[], &program.program);
        page.close();
        page.close();
    }
    tables::close(page);
    page.close();
}
