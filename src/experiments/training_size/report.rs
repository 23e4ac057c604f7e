//! Tables, plots, pictures and the page.

use super::{Experiment, Network, SIGMA, TrainingSizeResult, WINDOW};
use crate::error::Result;
use crate::experiments::scores::{Method, Scores, Summary, write_json};
use crate::experiments::study::{Orientation, Reconstructions};
use crate::files;
use crate::report::plot::{Axes, Mark, Series, grouped_plot};
use crate::report::{Align, Page, Table};

impl Experiment<'_> {
    /// The scores of a method on the training sets of one size, over all seeds.
    fn pooled(&self, name: &str, images: Option<usize>, orientation: Orientation) -> Summary {
        let points = (self.points.iter())
            .filter(|p| p.method.name == name && p.images == images)
            .filter_map(|p| match orientation {
                Orientation::Upright => Some(&p.method.upright),
                Orientation::Rotated => p.method.rotated.as_ref(),
            });
        Summary::together(points)
    }

    /// Plots, pictures, `metrics.json`, `report.html`.
    pub(super) fn finish(self, sizes: &[usize], middle: usize) -> Result<TrainingSizeResult> {
        let out = self.options.out.as_path();
        let settings = &self.settings;
        let result = TrainingSizeResult {
            experiment: "mri-training-size",
            scale: self.options.scale,
            problem: format!(
                "MRI, 65 of 320 lines of k-space, noise {SIGMA}, {size} x {size} pixels",
                size = settings.size
            ),
            adapter: self.study.gpu.label(),
            seed: self.options.seed,
            tests: self.study.tests(),
            methods: self.points.clone(),
        };
        let mut page = Page::new("MRI: how many training images it takes");
        page.paragraph(&format!(
            "{}, on {}. {} steps for each network; {} test images of another patient than the training images, {} seeds together. PSNR of magnitudes with the maximum of the reference as the peak.",
            result.problem, result.adapter, settings.steps, result.tests, settings.seeds
        ));
        page.table(&table(&result));
        for orientation in Orientation::BOTH {
            let title = orientation.name();
            page.heading(&format!("Test images, {title}"));
            for (score, unit, pick) in [
                ("PSNR", "PSNR / dB", (|s| s.psnr) as fn(&Scores) -> f64),
                ("SSIM", "SSIM (data range 1)", |s| s.ssim_l1),
            ] {
                let groups: Vec<String> = sizes.iter().map(usize::to_string).collect();
                let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
                let series: Vec<Series> = (settings.networks.iter())
                    .map(|&Network { name, .. }| {
                        let scores = |&n: &usize| -> Vec<f64> {
                            let pooled = self.pooled(name, Some(n), orientation);
                            pooled.per_image.iter().map(pick).collect()
                        };
                        Series::new(name, sizes.iter().map(scores).collect())
                    })
                    .collect();
                let axes = Axes::new(
                    format!("{score} of {title} test images by training images"),
                    "training images",
                    unit,
                );
                let plot = grouped_plot(&axes, &groups, &series, Mark::Violin)?;
                let file = format!("{}-{title}.svg", score.to_lowercase());
                files::write_bytes(out.join(file), plot.to_string().as_bytes())?;
                page.plot(
                    &plot,
                    &format!("{score} of each {title} test image; the line is the median."),
                );
            }
            let shown: Vec<(String, &Reconstructions)> = (self.pictured.iter())
                .map(|(name, images)| (name.clone(), images))
                .collect();
            for index in [result.tests / 4, result.tests / 2] {
                let png = self.study.picture(orientation, index, &shown, WINDOW)?;
                files::write_bytes(out.join(format!("sample-{title}-{index}.png")), &png)?;
                page.picture(&png, &format!("Test image {index}, {title}, networks trained on {middle} images; below, the error of each (full colour at {}).", WINDOW[1]));
            }
        }
        write_json(&out.join("metrics.json"), &result)?;
        page.write(out.join("report.html"))?;
        Ok(result)
    }
}

/// The results for people: means over test images and seeds.
pub fn table(result: &TrainingSizeResult) -> Table {
    let mut table = Table::new([
        ("images", Align::Right),
        ("method", Align::Left),
        ("parameters", Align::Right),
        ("train s", Align::Right),
        ("PSNR upright", Align::Right),
        ("PSNR rotated", Align::Right),
        ("SSIM upright", Align::Right),
        ("SSIM rotated", Align::Right),
    ]);
    let mut rows: Vec<(Option<usize>, &Method)> = Vec::new();
    for point in &result.methods {
        let same =
            |(n, m): &(Option<usize>, &Method)| *n == point.images && m.name == point.method.name;
        if !rows.iter().any(same) {
            rows.push((point.images, &point.method));
        }
    }
    for (images, first) in rows {
        let all = || {
            let points = result.methods.iter().map(|p| (p.images, &p.method));
            points.filter(|(n, m)| *n == images && m.name == first.name)
        };
        let upright = Summary::together(all().map(|(_, m)| &m.upright));
        let rotated = Summary::together(all().filter_map(|(_, m)| m.rotated.as_ref()));
        let seconds: f64 = all().map(|(_, m)| m.train_seconds).sum();
        let number = |n: usize| if n == 0 { String::new() } else { n.to_string() };
        table.row([
            images.map_or(String::new(), |n| n.to_string()),
            first.label(),
            number(first.parameters),
            format!("{:.0}", seconds / all().count() as f64),
            format!("{:.2} +- {:.2}", upright.psnr, upright.psnr_sd),
            format!("{:.2} +- {:.2}", rotated.psnr, rotated.psnr_sd),
            format!("{:.3}", upright.ssim_l1),
            format!("{:.3}", rotated.ssim_l1),
        ]);
    }
    table
}
