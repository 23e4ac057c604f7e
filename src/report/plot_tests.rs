use super::*;

fn axes() -> Axes {
    Axes::new("Training", "step", "PSNR / dB")
}

/// The values of `attribute` in all elements `tag`, in the order of the document.
fn attributes<'a>(svg: &'a str, tag: &str, attribute: &str) -> Vec<&'a str> {
    let (open, key) = (format!("<{tag}"), format!(" {attribute}=\""));
    let elements = svg.split(open.as_str()).skip(1);
    let values =
        elements.filter_map(|e| e.split('>').next()?.split(&key).nth(1)?.split('"').next());
    values.collect()
}

#[test]
fn curves_axes_and_names_are_drawn() {
    let rising: Vec<(f64, f64)> = (0..50)
        .map(|k| (f64::from(k), 20.0 + f64::from(k).sqrt()))
        .collect();
    let falling = rising.iter().map(|&(x, y)| (x, 50.0 - y)).collect();
    let svg = line_plot(
        &axes(),
        &[Curve::new("train", rising), Curve::new("test", falling)],
    );
    let svg = svg.unwrap().to_string();
    for text in [
        "step",
        "PSNR / dB",
        "train",
        "test",
        "<title>Training</title>",
    ] {
        assert!(svg.contains(text), "{text} is missing");
    }
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    assert!(!svg.contains("#000000") && svg.contains("currentColor"));
    // The two curves: one goes up (y falls on the screen), the other down.
    let colours = attributes(&svg, "polyline", "stroke");
    let curves: Vec<&str> = attributes(&svg, "polyline", "points")
        .into_iter()
        .zip(&colours)
        .filter_map(|(points, &colour)| {
            (colour == "#0072B2" || colour == "#D55E00").then_some(points)
        })
        .collect();
    assert_eq!(curves.len(), 2, "{colours:?}");
    let ends = |points: &str| -> (i32, i32) {
        let heights: Vec<i32> = points
            .split_whitespace()
            .map(|p| p.split_once(',').unwrap().1.parse().unwrap())
            .collect();
        (heights[0], heights[heights.len() - 1])
    };
    let (start, end) = ends(curves[0]);
    assert!(start > end + 50, "{start} {end}");
    let (start, end) = ends(curves[1]);
    assert!(start + 50 < end, "{start} {end}");
}

#[test]
fn bars_have_the_heights_of_the_means() {
    let series = [
        Series::new("upright", vec![vec![10.0, 10.0], vec![20.0]]),
        Series::new("rotated", vec![vec![5.0], vec![]]),
    ];
    let svg = grouped_plot(&axes(), &["fbp", "tv"], &series, Mark::Bar)
        .unwrap()
        .to_string();
    let heights: Vec<f64> = attributes(&svg, "polygon", "points")
        .into_iter()
        .map(|points| {
            let y = points
                .split_whitespace()
                .map(|p| p.split_once(',').unwrap().1);
            let y: Vec<f64> = y.map(|y| y.parse().unwrap()).collect();
            y.iter().copied().fold(0.0, f64::max) - y.iter().copied().fold(1e9, f64::min)
        })
        .collect();
    assert_eq!(heights.len(), 3, "the empty group has no bar");
    assert!((heights[1] / heights[0] - 2.0).abs() < 0.03, "{heights:?}");
    assert!((heights[0] / heights[2] - 2.0).abs() < 0.06, "{heights:?}");
    for text in ["fbp", "tv", "upright", "rotated"] {
        assert!(svg.contains(text), "{text} is missing");
    }
}

#[test]
fn violins_show_every_score() {
    let scores = (0..9).map(|k| 30.0 + f64::from(k)).collect();
    let series = [Series::new("C4", vec![scores, vec![29.0]])];
    let svg = grouped_plot(&axes(), &["a", "b"], &series, Mark::Violin)
        .unwrap()
        .to_string();
    assert_eq!(attributes(&svg, "polygon", "points").len(), 1);
    assert_eq!(attributes(&svg, "circle", "cx").len(), 10);
}

#[test]
fn a_logarithmic_axis_names_the_values_themselves() {
    let curve = Curve::new("loss", vec![(0.0, 1e-4), (1.0, 1e-2), (2.0, 1.0)]);
    let svg = line_plot(&axes().log_y(), &[curve]).unwrap().to_string();
    assert!(svg.contains("\n0.01\n") && svg.contains("\n1\n"), "{svg}");
}

#[test]
fn unusable_values_are_typed_errors() {
    assert!(matches!(line_plot(&axes(), &[]), Err(Error::Data { .. })));
    let one = |y: f64| [Curve::new("c", vec![(0.0, y)])];
    assert!(matches!(
        line_plot(&axes(), &one(f64::NAN)),
        Err(Error::NotFinite(_))
    ));
    assert!(matches!(
        line_plot(&axes().log_y(), &one(0.0)),
        Err(Error::Data { .. })
    ));
    for y in [0.0, 5.0, -1e-30, 1e30] {
        assert!(line_plot(&axes(), &one(y)).is_ok(), "{y}");
    }
    let series = [Series::new("s", vec![vec![1.0]])];
    let error = grouped_plot(&axes(), &["a", "b"], &series, Mark::Bar);
    assert!(matches!(error, Err(Error::Shape { .. })));
    let empty = [Series::new("s", vec![vec![]])];
    assert!(matches!(
        grouped_plot(&axes(), &["a"], &empty, Mark::Bar),
        Err(Error::Data { .. })
    ));
    let series = [Series::new("s", vec![vec![1.0]])];
    let error = grouped_plot(&axes().log_y(), &["a"], &series, Mark::Bar);
    assert!(matches!(error, Err(Error::Data { .. })));
    assert!(grouped_plot(&axes().log_y(), &["a"], &series, Mark::Violin).is_ok());
}

#[test]
fn many_names_take_several_lines_above_the_plot() {
    let curve = |k: i32| {
        Curve::new(
            format!("a rather long name {k}"),
            vec![(0.0, 0.0), (1.0, 1.0)],
        )
    };
    let curves: Vec<Curve> = (0..9).map(curve).collect();
    let svg = line_plot(&axes(), &curves).unwrap().to_string();
    let swatches = attributes(&svg, "rect", "y");
    assert_eq!(swatches.len(), 9);
    let lines: std::collections::HashSet<&str> = swatches.into_iter().collect();
    assert_eq!(lines.len(), 3);
}
