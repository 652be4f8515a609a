//! Tables in the page: figures lead to their rows and carry the number by which they are sorted.

use super::page::Page;
use crate::table::{Origin, Table};
use crate::text::escape_html;

/// A table whose heading, with the identifier `heading`, stands before it.
pub(super) fn push(page: &mut Page<'_>, table: &Table, heading: &str) {
    page.paragraph("soft", &table.remark);
    page.out += &format!(
        "<div class=\"scroll\" role=\"region\" aria-labelledby=\"{heading}\" tabindex=\"0\"><table class=\"data\">\n\
         <caption class=\"hide\">{}</caption>\n<thead><tr>",
        escape_html(&table.title)
    );
    let class = |index: usize| if index < table.left { "" } else { " class=\"n\"" };
    for (index, column) in table.columns.iter().enumerate() {
        page.out += &format!("<th scope=\"col\"{}>{}</th>", class(index), breakable(column));
    }
    page.out += "</tr></thead>\n<tbody>\n";
    // What a row is about: its mode, if it has one.
    let header = table.columns.iter().take(table.left).position(|column| column == "mode").unwrap_or(0);
    for (number, row) in table.rows.iter().enumerate() {
        page.out += "<tr>";
        for (index, cell) in row.iter().enumerate() {
            // Only sentences may break; a broken figure is hard to read.
            let class = if cell.len() > 60 { " class=\"wrap\"" } else { class(index) };
            let (value, text) = match table.origins.get(&(number, index)) {
                Some(origin) => figure(page, *origin, cell),
                None => (String::new(), breakable(cell)),
            };
            page.out += &match index == header {
                true => format!("<th scope=\"row\"{class}{value}>{text}</th>"),
                false => format!("<td{class}{value}>{text}</td>"),
            };
        }
        page.out += "</tr>\n";
    }
    page.out += "</tbody>\n</table></div>\n";
}

/// The attribute to sort by, and the figure as a link.
fn figure(page: &Page<'_>, origin: Origin, text: &str) -> (String, String) {
    // What passes all bounds sorts behind everything that does not.
    let value = if origin.value.is_finite() { origin.value } else { f64::MAX };
    let link = format!("<a href=\"{}\">{}</a>", page.links.to(origin.source), breakable(text));
    (format!(" data-v=\"{value:e}\""), link)
}

/// Text whose long names may break behind an underscore.
fn breakable(text: &str) -> String {
    escape_html(text).replace('_', "_<wbr>")
}
