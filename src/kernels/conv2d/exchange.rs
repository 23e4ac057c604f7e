//! Rows of pixels that the lanes of a subgroup load for each other.
//!
//! Lane `l` works on the strip after lane `l - 1`'s. Each lane loads one `vec4` of each row; the
//! columns to its left and right come from its neighbours by shuffles. Only the two lanes at the
//! ends lack a neighbour: what they need is loaded by all lanes together, one number each.

use super::row::{COMPONENTS, Row};
use crate::shape::Padding;
use std::fmt::Write;

pub(super) struct Exchange {
    lanes: u32,
    /// Rows of the image that a lane reads.
    rows: u32,
    /// Columns to the left of the lane's own quad that it reads.
    left: u32,
    /// Columns to the right of it.
    right: u32,
    /// First and last column of its own quad that it reads.
    own: [u32; 2],
    padding: Padding,
}

impl Exchange {
    /// How lanes that need the columns of `row`, in `rows` rows, exchange them; `None` if it takes
    /// more than the nearest neighbours. The image has `width` columns and the output `output`.
    pub(super) fn new(
        row: Row,
        rows: u32,
        lanes: u32,
        width: usize,
        output: usize,
    ) -> Option<Self> {
        if !row.quads || row.padding == Padding::Circular || output != width {
            return None;
        }
        // The first strip of a row has its left columns, and the last one its right columns, outside
        // the image.
        let columns = |quad: i32| {
            (0..row.columns)
                .filter(move |&j| row.quad(j).0 == quad)
                .count()
        };
        let [left, own, right] = [-1, 0, 1].map(|quad| columns(quad) as u32);
        if own == 0 || left + own + right != row.columns {
            return None;
        }
        let start = row.quad(left).1 as u32;
        Some(Exchange {
            lanes,
            rows,
            left,
            right,
            own: [start, start + own - 1],
            padding: row.padding,
        })
    }

    /// Numbers that the lanes at the ends need, and loads that fetch them.
    fn halo(&self) -> (u32, u32) {
        let items = self.rows * (self.left + self.right);
        (items, items.div_ceil(self.lanes))
    }

    /// Places and masks, once for each thread.
    pub(super) fn declare(&self, text: &mut String) {
        let _ = writeln!(text, "let first_strip = column == 0u;");
        let _ = writeln!(text, "let last_strip = column / 4u + 1u == across;");
        let _ = writeln!(
            text,
            "let before = (sublane + {}u) % {}u;",
            self.lanes - 1,
            self.lanes
        );
        let _ = writeln!(text, "let after = (sublane + 1u) % {}u;", self.lanes);
        for k in 0..self.rows {
            let _ = writeln!(
                text,
                "let at{k} = item / 4u + u32(resolve(top + {k}, i32(params.h))) * (params.w / 4u) + column / 4u;"
            );
        }
        if self.padding == Padding::Zero {
            for k in 0..self.rows {
                let _ = writeln!(text, "let visible{k} = inside(top + {k}, i32(params.h));");
            }
        }
        let (items, loads) = self.halo();
        let per_row = self.left + self.right;
        if items == 0 {
            return;
        }
        text.push_str("let leftmost = min(wanted - sublane, strips - 1u);\n");
        let _ = writeln!(
            text,
            "let rightmost = min(wanted - sublane + {}u, strips - 1u);",
            self.lanes - 1
        );
        for g in 0..loads {
            // Item: row, then columns from left to right. Surplus lanes repeat the last item.
            let _ = writeln!(
                text,
                "let item{g} = min({}u + sublane, {}u);",
                g * self.lanes,
                items - 1
            );
            let _ = writeln!(
                text,
                "let halo{g} = halo_place(item{g} / {per_row}u, i32(item{g} % {per_row}u), {}, leftmost, rightmost, across, bands);",
                self.left
            );
        }
    }

    /// The numbers that the lanes at the ends need of the channel that begins at element `plane`.
    pub(super) fn load_halo(&self, plane: &str, prefix: &str, text: &mut String) {
        for g in 0..self.halo().1 {
            let _ = writeln!(text, "let {prefix}h{g} = x_number({plane} + halo{g});");
        }
    }

    /// Sets `PREFIXxK_J` to column `J` of row `k` of the channel that begins at element `plane`.
    pub(super) fn load(&self, k: u32, plane: &str, prefix: &str, text: &mut String) {
        let zero = self.padding == Padding::Zero;
        let own = format!("x_quad({plane} / 4u + at{k})");
        let own = match zero {
            true => format!("select(vec4<f32>(), {own}, visible{k})"),
            false => own,
        };
        let _ = writeln!(text, "let {prefix}m{k} = {own};");
        let mut columns = 0..;
        let mut column = |text: &mut String, value: String| {
            let j = columns.next().unwrap_or(0);
            let _ = writeln!(text, "let {prefix}x{k}_{j} = {value};");
        };
        let neighbour = |component: u32, item: u32, left: bool| {
            let component = COMPONENTS[component as usize];
            let (lane, end, strip, edge) = match left {
                true => ("before", 0, "first_strip", 'x'),
                false => ("after", self.lanes - 1, "last_strip", 'w'),
            };
            let halo = format!(
                "subgroupBroadcast({prefix}h{}, {}u)",
                item / self.lanes,
                item % self.lanes
            );
            let (halo, outside) = match zero {
                true => (
                    format!("select(0.0, {halo}, visible{k})"),
                    "0.0".to_string(),
                ),
                false => (halo, format!("{prefix}m{k}.{edge}")),
            };
            format!(
                "select(select(subgroupShuffle({prefix}m{k}.{component}, {lane}), {halo}, sublane == {end}u), {outside}, {strip})"
            )
        };
        let first = k * (self.left + self.right);
        for j in 0..self.left {
            column(text, neighbour(4 - self.left + j, first + j, true));
        }
        for c in self.own[0]..=self.own[1] {
            column(text, format!("{prefix}m{k}.{}", COMPONENTS[c as usize]));
        }
        for j in 0..self.right {
            column(text, neighbour(j, first + self.left + j, false));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(origin: i32, columns: u32, padding: Padding) -> Row {
        Row {
            columns,
            origin,
            quads: true,
            padding,
        }
    }

    #[test]
    fn a_window_reads_its_own_quad_and_its_neighbours() {
        let e = Exchange::new(row(-1, 6, Padding::Replicate), 4, 8, 64, 64).expect("near");
        assert_eq!((e.left, e.own, e.right), (1, [0, 3], 1));
        assert_eq!(e.halo(), (8, 1));
        let e = Exchange::new(row(-2, 8, Padding::Zero), 4, 8, 64, 64).expect("near");
        assert_eq!((e.left, e.own, e.right), (2, [0, 3], 2));
    }

    #[test]
    fn what_neighbours_do_not_have_is_refused() {
        assert!(Exchange::new(row(-1, 6, Padding::Circular), 4, 8, 64, 64).is_none());
        // Nothing of the strip's own quad.
        assert!(Exchange::new(row(4, 4, Padding::Zero), 1, 8, 64, 64).is_none());
        // Columns beyond the nearest neighbours.
        assert!(Exchange::new(row(-5, 14, Padding::Zero), 4, 8, 64, 64).is_none());
        // The strips do not lie on the image's quads.
        assert!(Exchange::new(row(-1, 6, Padding::Zero), 4, 8, 64, 32).is_none());
    }
}
