//! A self-contained HTML page: text, tables, pictures and plots in one file.
//!
//! Everything given is escaped, pictures are embedded, colours follow the reader's light or dark
//! setting, and the page's own policy forbids it to load or run anything.

use super::plot::Svg;
use super::table::{Align, Table};
use crate::error::Result;
use crate::files;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::path::Path;

const STYLE: &str = "\
:root { color-scheme: light dark; --edge: #8886; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; line-height: 1.5;
  font-family: system-ui, sans-serif; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { padding: .2rem .8rem; border-bottom: 1px solid var(--edge); text-align: left; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1.5rem 0; }
figure img { max-width: 100%; image-rendering: pixelated; }
figure svg { max-width: 100%; height: auto; }
figcaption { opacity: .8; }
pre { overflow-x: auto; padding: .8rem; border: 1px solid var(--edge); }
";

/// A page under construction; each method adds something below what is there.
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    body: String,
}

impl Page {
    /// A page that holds its title only.
    pub fn new(title: &str) -> Self {
        Page {
            title: escape(title),
            body: String::new(),
        }
    }

    /// A section's heading.
    pub fn heading(&mut self, text: &str) -> &mut Self {
        self.push(&format!("<h2>{}</h2>", escape(text)))
    }

    /// A paragraph of plain text.
    pub fn paragraph(&mut self, text: &str) -> &mut Self {
        self.push(&format!("<p>{}</p>", escape(text)))
    }

    /// Text whose line breaks and spaces matter: a configuration, a log.
    pub fn preformatted(&mut self, text: &str) -> &mut Self {
        self.push(&format!("<pre>{}</pre>", escape(text)))
    }

    /// A table.
    pub fn table(&mut self, table: &Table) -> &mut Self {
        let line = |cells: &mut dyn Iterator<Item = &String>, tag: &str| {
            let mut line = String::from("<tr>");
            for (cell, (_, align)) in cells.zip(table.columns()) {
                let class = if *align == Align::Right {
                    " class=\"number\""
                } else {
                    ""
                };
                line += &format!("<{tag}{class}>{}</{tag}>", escape(cell));
            }
            line + "</tr>\n"
        };
        let head = line(
            &mut table.columns().iter().map(|(heading, _)| heading),
            "th",
        );
        let rows: String = table
            .rows()
            .iter()
            .map(|row| line(&mut row.iter(), "td"))
            .collect();
        self.push(&format!(
            "<table>\n<thead>{head}</thead>\n<tbody>\n{rows}</tbody>\n</table>"
        ))
    }

    /// A picture from the bytes of a PNG file, with a caption that also describes it to readers who
    /// cannot see it.
    pub fn picture(&mut self, png: &[u8], caption: &str) -> &mut Self {
        let (data, caption) = (STANDARD.encode(png), escape(caption));
        self.push(&format!(
            "<figure><img src=\"data:image/png;base64,{data}\" alt=\"{caption}\">\n<figcaption>{caption}</figcaption></figure>"
        ))
    }

    /// A plot with a caption.
    pub fn plot(&mut self, plot: &Svg, caption: &str) -> &mut Self {
        self.push(&format!(
            "<figure>{plot}<figcaption>{}</figcaption></figure>",
            escape(caption)
        ))
    }

    /// The whole document.
    pub fn to_html(&self) -> String {
        let Page { title, body } = self;
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n\
             <body>\n<h1>{title}</h1>\n{body}</body>\n</html>\n"
        )
    }

    /// Writes the document to a file.
    ///
    /// # Errors
    /// [`Error::Io`](crate::error::Error::Io) with the path.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write_bytes(path, self.to_html().as_bytes())
    }

    fn push(&mut self, html: &str) -> &mut Self {
        self.body += html;
        self.body.push('\n');
        self
    }
}

/// `text` with the characters that mean something in HTML and SVG replaced, fit for element content
/// and for quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            // XML forbids the other control characters, and they show nothing.
            c if c.is_control() && !matches!(c, '\n' | '\t') => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::plot::{Axes, Curve, line_plot};
    use super::*;

    const EVIL: &str = "</p><script>alert('x')</script>\" onload=\"y & z";

    fn full_page() -> String {
        let mut table = Table::new([(EVIL, Align::Left), ("n", Align::Right)]);
        table.row([EVIL, "1"]);
        let axes = Axes::new(EVIL, EVIL, EVIL);
        let curve = Curve::new(EVIL, vec![(0.0, 1.0), (1.0, 2.0)]);
        let plot = line_plot(&axes, &[curve]).unwrap();
        let mut page = Page::new(EVIL);
        page.heading(EVIL)
            .paragraph(EVIL)
            .preformatted(EVIL)
            .table(&table);
        page.picture(b"\x89PNG", EVIL).plot(&plot, EVIL);
        page.to_html()
    }

    #[test]
    fn everything_is_escaped() {
        let html = full_page();
        assert!(!html.contains("<script"), "{html}");
        assert!(!html.contains("\" onload"), "{html}");
        assert!(html.contains("&lt;script&gt;alert("));
    }

    #[test]
    fn elements_are_balanced_and_closed() {
        let html = full_page();
        let mut open: Vec<&str> = Vec::new();
        for piece in html.split('<').skip(1) {
            let (tag, _) = piece.split_once('>').unwrap();
            let name = tag.split([' ', '/', '\n']).find(|s| !s.is_empty()).unwrap();
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name), "</{name}>");
            } else if !tag.ends_with('/') && !["!DOCTYPE", "meta", "img"].contains(&name) {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn nothing_outside_the_file_is_named() {
        let html = full_page();
        let without_namespace = html.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        for word in ["http:", "https:", "//", "url(", "@import", "<link", " href"] {
            assert!(!without_namespace.contains(word), "{word}");
        }
        assert!(html.contains("src=\"data:image/png;base64,iVBORw==\""));
    }

    #[test]
    fn the_page_is_written_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.html");
        let page = Page::new("t");
        page.write(&path).unwrap();
        assert_eq!(files::read_text(&path).unwrap(), page.to_html());
    }
}
