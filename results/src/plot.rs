//! Figures to SVG: whole ones for slides and README files, 1200 pixels wide, readable at half that; and panel by panel for the
//! report, whose page lays them out to the width that it has.

mod axis;
mod bars;
mod canvas;
mod document;
mod frame;
mod legend;
mod panels;
mod picture;
mod style;
mod words;

pub use self::document::draw;
pub use self::legend::{dark_style, key, modes};
pub use self::panels::{PanelDrawing, panels};
pub use self::picture::{PICTURES, Picture, PlotError};
