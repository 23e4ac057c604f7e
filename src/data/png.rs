//! PNG pictures: grey images in and out, colour pictures out.
//!
//! The two depths have one scale each, in both directions: 16-bit values are multiples of `1/65536`
//! (exact in `f32`; the scale of the CT slices, where it makes 1 the attenuation `mu`), 8-bit values
//! multiples of `1/255`.

use super::image::Image;
use crate::error::{Error, Result};
use crate::files;
use ::image::codecs::png::{PngDecoder, PngEncoder};
use ::image::{ColorType, DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, Limits};
use std::io::Cursor;
use std::path::Path;

/// Pictures with longer sides are refused before they are decoded.
const LONGEST_SIDE: u32 = 16384;

/// Reads a grey PNG of 8 or 16 bits (fewer bits count as 8): values in `[0, 1]`.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Data`] if it is not a sound PNG, is in colour
/// or has transparency, or is larger than 16384 pixels along a side.
pub fn read_png(path: impl AsRef<Path>) -> Result<Image> {
    let bytes = files::read_bytes(&path)?;
    decode_png(path.as_ref(), &bytes)
}

/// Decodes the bytes of a grey PNG; `name` is for the error message. See [`read_png`].
///
/// # Errors
/// As [`read_png`].
pub fn decode_png(name: impl AsRef<Path>, bytes: &[u8]) -> Result<Image> {
    let name = name.as_ref();
    let damaged = |e| {
        Error::data(
            name,
            format!("not a PNG that can be read ({e}); save it again"),
        )
    };
    let mut limits = Limits::default();
    limits.max_image_width = Some(LONGEST_SIDE);
    limits.max_image_height = Some(LONGEST_SIDE);
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits).map_err(damaged)?;
    let colour = decoder.color_type();
    if !matches!(colour, ColorType::L8 | ColorType::L16) {
        return Err(Error::data(
            name,
            format!(
                "its pixels are {colour:?} and grey ones are needed; convert it to an 8- or 16-bit grey PNG without transparency"
            ),
        ));
    }
    let (width, height) = decoder.dimensions();
    let pixels = match DynamicImage::from_decoder(decoder).map_err(damaged)? {
        DynamicImage::ImageLuma16(grey) => grey.iter().map(|&v| f32::from(v) / 65536.0).collect(),
        picture => picture
            .to_luma8()
            .iter()
            .map(|&v| f32::from(v) / 255.0)
            .collect(),
    };
    Image::new([height as usize, width as usize], pixels)
}

/// The 8-bit grey PNG of `image`: `low` is black, `high` white (255), values beyond are clamped.
///
/// # Errors
/// [`Error::Data`] unless `low < high`, both finite, or if the image cannot be encoded;
/// [`Error::NotFinite`] if a pixel is NaN.
pub fn encode_png8(image: &Image, window: [f32; 2]) -> Result<Vec<u8>> {
    let samples = quantise(image, window, 255.0, 255.0)?;
    let bytes: Vec<u8> = samples.iter().map(|&v| v as u8).collect();
    encode(&bytes, image.size(), ExtendedColorType::L8)
}

/// The 16-bit grey PNG of `image`: `low` is black, `high` is 65536 (clamped to 65535), so that with
/// the window `[0, 1]` [`decode_png`] gives back what was written, to half a step.
///
/// # Errors
/// As [`encode_png8`].
pub fn encode_png16(image: &Image, window: [f32; 2]) -> Result<Vec<u8>> {
    let samples = quantise(image, window, 65536.0, 65535.0)?;
    // The encoder takes samples in the machine's byte order.
    let bytes: Vec<u8> = samples.iter().flat_map(|v| v.to_ne_bytes()).collect();
    encode(&bytes, image.size(), ExtendedColorType::L16)
}

/// The colour PNG of `rows` x `columns` pixels, each red, green, blue.
///
/// # Errors
/// [`Error::Data`] if the picture cannot be encoded.
pub fn encode_rgb_png(pixels: &[[u8; 3]], size: [usize; 2]) -> Result<Vec<u8>> {
    encode(pixels.as_flattened(), size, ExtendedColorType::Rgb8)
}

/// Writes [`encode_png8`] to a file.
///
/// # Errors
/// As [`encode_png8`], and [`Error::Io`].
pub fn write_png8(path: impl AsRef<Path>, image: &Image, window: [f32; 2]) -> Result<()> {
    files::write_bytes(path, &encode_png8(image, window)?)
}

/// Writes [`encode_png16`] to a file.
///
/// # Errors
/// As [`encode_png8`], and [`Error::Io`].
pub fn write_png16(path: impl AsRef<Path>, image: &Image, window: [f32; 2]) -> Result<()> {
    files::write_bytes(path, &encode_png16(image, window)?)
}

/// Where `value` lies in the window: 0 at `low`, 1 at `high`, clamped. NaN stays NaN.
pub(super) fn grey_level(value: f32, [low, high]: [f32; 2]) -> f64 {
    let (value, low, high) = (f64::from(value), f64::from(low), f64::from(high));
    ((value - low) / (high - low)).clamp(0.0, 1.0)
}

/// Checks that a grey window is usable and that every pixel of `image` has a place in it.
pub(super) fn check_window(image: &Image, [low, high]: [f32; 2]) -> Result<()> {
    if !(low < high && low.is_finite() && high.is_finite()) {
        return Err(Error::data(
            "picture",
            format!("the grey window [{low}, {high}] is empty; give black below white"),
        ));
    }
    if let Some(i) = image.pixels.iter().position(|v| v.is_nan()) {
        return Err(Error::NotFinite(format!(
            "pixel {i} of a {}x{} picture is NaN",
            image.rows, image.columns
        )));
    }
    Ok(())
}

fn quantise(image: &Image, window: [f32; 2], scale: f64, most: f64) -> Result<Vec<u16>> {
    check_window(image, window)?;
    let level = |&v: &f32| (grey_level(v, window) * scale).round().min(most) as u16;
    Ok(image.pixels.iter().map(level).collect())
}

fn encode(bytes: &[u8], [rows, columns]: [usize; 2], colour: ExtendedColorType) -> Result<Vec<u8>> {
    let refuse = |reason: String| {
        let size = format!("a picture of {rows}x{columns} pixels cannot be a PNG");
        Error::data("picture", format!("{size}: {reason}"))
    };
    let (Ok(width), Ok(height)) = (u32::try_from(columns), u32::try_from(rows)) else {
        return Err(refuse("a side is too long".into()));
    };
    let samples = rows
        .checked_mul(columns)
        .map(|n| n * usize::from(colour.bits_per_pixel() / 8));
    if samples != Some(bytes.len()) {
        return Err(refuse(format!("there are {} bytes of pixels", bytes.len())));
    }
    let mut png = Vec::new();
    let encoder = PngEncoder::new(&mut png);
    let written = encoder.write_image(bytes, width, height, colour);
    written.map_err(|e| refuse(e.to_string()))?;
    Ok(png)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_come_back_exactly() {
        let image = Image::from_fn([5, 7], |r, c| ((r * 7 + c) * 1925) as f32 / 65536.0);
        let png = encode_png16(&image, [0.0, 1.0]).unwrap();
        assert_eq!(decode_png("a", &png).unwrap(), image);
        // 1 is one step beyond the largest sample.
        let white = Image::new([1, 1], vec![1.0]).unwrap();
        let png = encode_png16(&white, [0.0, 1.0]).unwrap();
        assert_eq!(decode_png("a", &png).unwrap().pixels, [65535.0 / 65536.0]);
    }

    #[test]
    fn the_window_maps_to_black_and_white() {
        let image = Image::new([1, 5], vec![-3.0, -1.0, 0.0, 1.0, 3.0]).unwrap();
        let png = encode_png8(&image, [-1.0, 1.0]).unwrap();
        let levels: Vec<f32> = decode_png("a", &png).unwrap().pixels;
        assert_eq!(levels, [0.0, 0.0, 128.0 / 255.0, 1.0, 1.0]);
        let png = encode_png16(&image, [-1.0, 1.0]).unwrap();
        assert_eq!(decode_png("a", &png).unwrap().pixels[2], 0.5);
    }

    #[test]
    fn files_carry_pictures() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.png");
        let image = Image::new([2, 1], vec![0.25, 0.5]).unwrap();
        write_png16(&path, &image, [0.0, 1.0]).unwrap();
        assert_eq!(read_png(&path).unwrap(), image);
        write_png8(&path, &image, [0.0, 0.5]).unwrap();
        assert_eq!(read_png(&path).unwrap().pixels, [128.0 / 255.0, 1.0]);
        let missing = read_png(directory.path().join("b.png")).unwrap_err();
        assert!(matches!(missing, Error::Io { .. }), "{missing}");
    }

    #[test]
    fn unusable_pictures_are_typed_errors() {
        let colour = encode_rgb_png(&[[1, 2, 3]; 4], [2, 2]).unwrap();
        let error = decode_png("colour.png", &colour).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("colour.png: its pixels are Rgb8"),
            "{error}"
        );
        let image = Image::from_fn([8, 8], |r, c| (r * c) as f32 / 64.0);
        let sound = encode_png8(&image, [0.0, 1.0]).unwrap();
        for length in 0..sound.len() - 12 {
            let error = decode_png("cut.png", &sound[..length]).unwrap_err();
            assert!(matches!(error, Error::Data { .. }), "{length}: {error}");
        }
        let nan = Image::new([1, 1], vec![f32::NAN]).unwrap();
        assert!(matches!(
            encode_png8(&nan, [0.0, 1.0]),
            Err(Error::NotFinite(_))
        ));
        for window in [
            [1.0, 1.0],
            [1.0, 0.0],
            [0.0, f32::NAN],
            [0.0, f32::INFINITY],
        ] {
            assert!(matches!(
                encode_png8(&image, window),
                Err(Error::Data { .. })
            ));
        }
        assert!(encode_rgb_png(&[[0; 3]; 4], [2, 3]).is_err());
        assert!(encode_rgb_png(&[], [0, 0]).is_err());
    }

    #[test]
    fn a_picture_that_claims_to_be_huge_is_refused_undecoded() {
        let image = Image::new([1, 1], vec![0.0]).unwrap();
        let mut png = encode_png8(&image, [0.0, 1.0]).unwrap();
        // Width and height stand at bytes 16 and 20; the header's checksum follows at 29.
        png[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
        let checksum = crc32(&png[12..29]);
        png[29..33].copy_from_slice(&checksum.to_be_bytes());
        let error = decode_png("huge.png", &png).unwrap_err();
        assert!(matches!(error, Error::Data { .. }), "{error}");
    }

    /// The checksum of PNG chunks (ISO 3309), bit by bit.
    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
            })
        })
    }
}
