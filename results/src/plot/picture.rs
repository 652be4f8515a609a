//! Figures to PNG, for where SVG is not shown. The fonts are this program's own, so that every machine draws the same bytes.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::Database;
use resvg::usvg::{Options, Tree};

use super::document::draw_light;
use crate::series::Figure;

/// DejaVu Sans, without what no figure says: Latin, Greek and Cyrillic are left, and signs. Its licence is beside it.
const FONTS: [&[u8]; 2] =
    [include_bytes!("fonts/DejaVuSans.ttf"), include_bytes!("fonts/DejaVuSans-Bold.ttf")];
const FAMILY: &str = "DejaVu Sans";

/// Why a figure could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("figure {figure:?}: {reason}; this is a defect, please report it")]
pub struct PlotError {
    /// Name of the figure.
    pub figure: String,
    /// What the drawing library said.
    pub reason: String,
}

/// Draws pictures with the fonts in memory.
#[derive(Debug)]
pub struct Picture {
    options: Options<'static>,
}

impl Default for Picture {
    fn default() -> Self {
        let mut fonts = Database::new();
        FONTS.iter().for_each(|font| fonts.load_font_data(font.to_vec()));
        // Whatever a figure asks for, it gets this one.
        fonts.set_sans_serif_family(FAMILY);
        let options =
            Options { font_family: FAMILY.to_owned(), fontdb: Arc::new(fonts), ..Options::default() };
        Self { options }
    }
}

impl Picture {
    /// The figure as [`super::draw`] has it, light, 1200 pixels wide.
    ///
    /// # Errors
    ///
    /// [`PlotError`] if the drawing library refuses what this program wrote.
    pub fn png(&self, figure: &Figure, caption: &str) -> Result<Vec<u8>, PlotError> {
        let failed = |reason: String| PlotError { figure: figure.name.to_owned(), reason };
        let svg = draw_light(figure, caption);
        let tree = Tree::from_str(&svg, &self.options).map_err(|error| failed(error.to_string()))?;
        let size = tree.size().to_int_size();
        let mut pixels = Pixmap::new(size.width(), size.height())
            .ok_or_else(|| failed(format!("no memory for {} x {} pixels", size.width(), size.height())))?;
        resvg::render(&tree, Transform::identity(), &mut pixels.as_mut());
        pixels.encode_png().map_err(|error| failed(error.to_string()))
    }
}
