//! The real images that the program carries: CT and MRI slices, compiled in.
//!
//! Their origin, licences and format are told in `assets/README.md`. Training and test slices come
//! from different patients. Slices of one volume are near duplicates, so there are few patients
//! here however many slices: count patients when you claim something.

use super::{image::Image, png::decode_png};

/// A picture compiled into the program.
struct Asset {
    name: &'static str,
    png: &'static [u8],
}

/// The pictures `assets/FOLDER/PREFIX_NUMBER.png`.
macro_rules! assets {
    ($folder:literal, $prefix:literal, [$($number:literal)*]) => {
        [$(Asset {
            name: concat!("assets/", $folder, "/", $prefix, "_", $number, ".png"),
            png: include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/assets/", $folder, "/", $prefix, "_", $number, ".png"
            )),
        }),*]
    };
}

// One table for each function below, so that a program carries only the sets it asks for.
static CT_TRAIN: [Asset; 24] = assets!("ct", "train", [
    "00" "03" "05" "08" "10" "13" "16" "18" "21" "23" "26" "29"
    "31" "34" "37" "39" "42" "44" "47" "50" "52" "55" "57" "60"
]);
static CT_TEST: [Asset; 12] = assets!("ct", "test", [
    "02" "06" "10" "14" "18" "22" "25" "29" "33" "37" "41" "45"
]);
static MRI_TRAIN: [Asset; 24] = assets!("mri", "train", [
    "000" "005" "011" "016" "022" "027" "032" "038" "043" "049" "054" "059"
    "065" "070" "075" "081" "086" "092" "097" "102" "108" "113" "119" "124"
]);
static MRI_TEST: [Asset; 10] = assets!("mri", "test", [
    "02" "04" "06" "08" "10" "12" "14" "16" "18" "20"
]);

/// 24 CT slices of one patient, `[256, 256]`, pixels of 1.25 mm: attenuation relative to `mu`
/// (81.35858 per metre), air 0 and water about 0.25.
pub fn ct_train() -> Vec<Image> {
    decoded(&CT_TRAIN)
}

/// 12 CT slices of another patient; pixels of 1.14 mm, otherwise as [`ct_train`].
pub fn ct_test() -> Vec<Image> {
    decoded(&CT_TEST)
}

/// 24 T1 slices of the Colin27 head, `[217, 181]`, magnitudes in `[0, 1]`.
pub fn mri_train() -> Vec<Image> {
    decoded(&MRI_TRAIN)
}

/// 10 contrast-enhanced T1 slices of a patient's head, `[256, 256]`, magnitudes in `[0, 1]`.
pub fn mri_test() -> Vec<Image> {
    decoded(&MRI_TEST)
}

fn decoded(assets: &[Asset]) -> Vec<Image> {
    let decode = |asset: &Asset| decode_png(asset.name, asset.png);
    let images: Result<Vec<Image>, _> = assets.iter().map(decode).collect();
    images.expect("a test decodes every picture that is compiled in")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_embedded_picture_decodes_to_its_documented_form() {
        for (images, size, count) in [
            (ct_train(), [256, 256], 24),
            (ct_test(), [256, 256], 12),
            (mri_train(), [217, 181], 24),
            (mri_test(), [256, 256], 10),
        ] {
            assert_eq!(images.len(), count);
            for image in images {
                assert_eq!(image.size(), size);
                let (low, high) = image.range();
                assert!(low >= 0.0 && high <= 1.0 && high > 0.4, "{low} {high}");
            }
        }
    }

    #[test]
    fn the_tables_hold_every_file_of_the_folders_once() {
        for (folder, tables) in [
            ("ct", [&CT_TRAIN[..], &CT_TEST[..]]),
            ("mri", [&MRI_TRAIN[..], &MRI_TEST[..]]),
        ] {
            let embedded: HashSet<&str> = tables
                .iter()
                .flat_map(|t| t.iter().map(|a| a.name))
                .collect();
            let path = format!("{}/assets/{folder}", env!("CARGO_MANIFEST_DIR"));
            let files: HashSet<String> = std::fs::read_dir(path)
                .unwrap()
                .map(|e| format!("assets/{folder}/{}", e.unwrap().file_name().display()))
                .collect();
            assert_eq!(embedded, files.iter().map(String::as_str).collect());
        }
    }

    /// Value = 16 (HU + 1024), u = value / 65536: from fat at -90 HU to muscle at 60 HU, soft tissue
    /// lies at 0.228 to 0.265.
    #[test]
    fn soft_tissue_has_the_attenuation_of_water() {
        for image in [&ct_train()[12], &ct_test()[6]] {
            let mut body: Vec<f32> = image.pixels.iter().copied().filter(|&u| u > 0.2).collect();
            body.sort_by(f32::total_cmp);
            let median = body[body.len() / 2];
            assert!((0.228..0.265).contains(&median), "{median}");
        }
    }

    #[test]
    fn no_slice_is_both_trained_and_tested_on() {
        let bits =
            |image: Image| -> Vec<u32> { image.pixels.iter().map(|v| v.to_bits()).collect() };
        let train: HashSet<Vec<u32>> = ct_train().into_iter().map(bits).collect();
        assert_eq!(train.len(), 24);
        assert!(
            ct_test()
                .into_iter()
                .map(bits)
                .all(|slice| !train.contains(&slice))
        );
    }
}
