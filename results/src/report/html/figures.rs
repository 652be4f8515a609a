//! Figures in the page: words and legend as text, panels as drawings that take the width that there is.

use super::page::Page;
use crate::plot::{key, modes, panels};
use crate::report::pages::{Chapter, Pages, how_to_read};
use crate::series::Figure;
use crate::table::Source;
use crate::text::escape_html;

pub(super) fn push(
    page: &mut Page<'_>,
    pages: &Pages<'_>,
    lane: usize,
    chapter: &Chapter<'_>,
    figure: &Figure,
) {
    let id = format!("plot-{}-{}", lane + 1, figure.name);
    let lane = if pages.headings {
        format!(" <small>{}</small>", escape_html(&chapter.groups.platform.label()))
    } else {
        String::new()
    };
    page.out += &format!("<h3 id=\"{id}\">{}{lane}</h3>\n", escape_html(&figure.title));
    page.paragraph("soft", &figure.subtitle);
    page.out += &format!("<figure aria-labelledby=\"{id}\">\n<ul class=\"legend\">\n");
    for mode in modes(&figure.panels) {
        let name = escape_html(mode);
        page.out += &format!("<li><span data-mode=\"{name}\">{}{name}</span>", key(mode));
        let remark = figure.remark(mode);
        if !remark.is_empty() {
            page.out += &format!(" <span class=\"soft\">{}</span>", escape_html(remark));
        }
        page.out += "</li>\n";
    }
    page.out += "</ul>\n<div class=\"panels\">\n";
    let links = &page.links;
    for panel in panels(figure, &id, &|group| links.to(Source::Group(group))) {
        let heading = escape_html(&panel.heading);
        page.out += &format!("<div>\n<p id=\"{}\">{heading}</p>\n{}</div>\n", panel.heading_id, panel.svg);
    }
    page.out += "</div>\n";
    if !figure.notes.is_empty() {
        page.out += "<ul class=\"notes\">\n";
        for note in &figure.notes {
            page.out += &format!("<li>{}</li>\n", escape_html(note));
        }
        page.out += "</ul>\n";
    }
    page.out += &format!(
        "<figcaption><b>How to read this.</b> {}</figcaption>\n</figure>\n",
        escape_html(how_to_read(figure.name, chapter.clock()))
    );
}
