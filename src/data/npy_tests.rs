use super::*;
use crate::data::random::Stream;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/npy");

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(GOLDEN).join(name)).unwrap()
}

fn parse_bytes(bytes: &[u8]) -> Result<AnyArray> {
    parse(Path::new("test.npy"), bytes, bytes.len() as u64)
}

#[test]
fn every_dtype_that_numpy_wrote_is_read() {
    let ramp: Vec<f32> = (0..12).map(|k| k as f32).collect();
    for dtype in ["f4", "f8", "i1", "i2", "i4", "u1", "u2"] {
        let array = read_real_npy(format!("{GOLDEN}/ramp_{dtype}.npy")).unwrap();
        assert_eq!(array.shape, [3, 4], "{dtype}");
        assert_eq!(array.data, ramp, "{dtype}");
    }
    for dtype in ["c8", "c16"] {
        let path = format!("{GOLDEN}/ramp_{dtype}.npy");
        let array = read_complex_npy(&path).unwrap();
        assert_eq!(array.shape, [3, 4], "{dtype}");
        for (z, &k) in array.data.iter().zip(&ramp) {
            assert_eq!(*z, Complex32::new(k, 0.5 * k), "{dtype}");
        }
        let error = read_real_npy(&path).unwrap_err();
        assert!(error.to_string().contains("complex"), "{error}");
    }
    let mask = read_real_npy(format!("{GOLDEN}/mask_b1.npy")).unwrap();
    assert_eq!(mask.data, [1., 0., 0., 1., 0., 0., 1., 0., 0., 1., 0., 0.]);
    let shape = |name: &str| {
        read_npy(format!("{GOLDEN}/{name}.npy"))
            .unwrap()
            .shape()
            .to_vec()
    };
    assert_eq!(shape("vector_f4"), [5]);
    assert_eq!(shape("volume_f4"), [2, 2, 3, 4]);
    assert_eq!(shape("version2_f4"), [3, 4]);
    let promoted = read_complex_npy(format!("{GOLDEN}/vector_f4.npy")).unwrap();
    assert_eq!(promoted.data[3], Complex32::new(3.0, 0.0));
}

#[test]
fn files_are_written_as_numpy_writes_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.npy");
    let written = || std::fs::read(&path).unwrap();
    let ramp: Vec<f32> = (0..12).map(|k| k as f32).collect();
    write_npy(&path, &[3, 4], &ramp).unwrap();
    assert_eq!(written(), golden("ramp_f4.npy"));
    let wide: Vec<f64> = ramp.iter().map(|&k| k.into()).collect();
    write_npy(&path, &[3, 4], &wide).unwrap();
    assert_eq!(written(), golden("ramp_f8.npy"));
    let complex: Vec<Complex32> = ramp.iter().map(|&k| Complex32::new(k, 0.5 * k)).collect();
    write_npy(&path, &[3, 4], &complex).unwrap();
    assert_eq!(written(), golden("ramp_c8.npy"));
    write_npy(&path, &[5], &ramp[..5]).unwrap();
    assert_eq!(written(), golden("vector_f4.npy"));
    assert!(matches!(
        write_npy(&path, &[3, 5], &ramp),
        Err(Error::Shape { .. })
    ));
}

#[test]
fn an_independent_reader_understands_what_is_written() {
    use npyz::NpyFile;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.npy");
    let values: Vec<Complex32> = (0..6).map(|k| Complex32::new(k as f32, -1.5)).collect();
    write_npy(&path, &[1, 2, 3], &values).unwrap();
    let file = NpyFile::new(File::open(&path).unwrap()).unwrap();
    assert_eq!(file.shape(), [1, 2, 3]);
    assert_eq!(file.into_vec::<Complex32>().unwrap(), values);
}

#[test]
fn each_unusable_file_is_refused_with_its_own_reason() {
    for (name, reason) in [
        ("bad_i8", "dtype '<i8'"),
        ("bad_string", "dtype '<U1'"),
        ("bad_record", "records"),
        ("bad_big_endian", "big-endian"),
        ("bad_fortran", "Fortran"),
        ("bad_scalar", "0 axes"),
        ("bad_rank5", "5 axes"),
        ("bad_empty", "no elements"),
        ("bad_nan", "value 1 is NaN"),
        ("bad_inf", "value 2 is infinite"),
        ("bad_large", "too large for single precision"),
        ("make_npy.py", "not a .npy file"),
    ] {
        let suffix = if name.contains('.') { "" } else { ".npy" };
        let error = read_npy(format!("{GOLDEN}/{name}{suffix}")).unwrap_err();
        assert!(matches!(error, Error::Data { .. }), "{name}: {error}");
        assert!(error.to_string().contains(reason), "{name}: {error}");
    }
    let directory = read_npy(GOLDEN).unwrap_err();
    assert!(
        matches!(directory, Error::Data { .. } | Error::Io { .. }),
        "{directory}"
    );
    let missing = read_npy("no/such.npy").unwrap_err();
    assert!(matches!(missing, Error::Io { .. }), "{missing}");
}

/// A version 1.0 file with the header `text` and `values` bytes after it.
fn file_with(text: &str, values: usize) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.extend(vec![0; values]);
    bytes
}

#[test]
fn hostile_headers_are_refused() {
    let dict =
        |shape: &str| format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    for shape in [
        "(18446744073709551615, 18446744073709551615)",
        "(4611686018427387905,)",
        "(1000000000000,)",
        "(99999999999999999999999999,)",
        "(-1,)",
        "(2.0,)",
        "(2,,)",
        "(2 2)",
        "(02,)",
        "2",
        "(2,",
        "((2,),)",
        "",
    ] {
        assert!(parse_bytes(&file_with(&dict(shape), 8)).is_err(), "{shape}");
    }
    assert!(parse_bytes(&file_with(&dict("(2,)"), 8)).is_ok());
    assert!(parse_bytes(&file_with(&dict("(2,)"), 9)).is_err());
    let swapped = "{\"shape\": (2,), 'fortran_order': False, 'descr': '<f4'}";
    assert!(parse_bytes(&file_with(swapped, 8)).is_ok());
    for text in [
        "",
        "{",
        "{}",
        "{'descr': '<f4', 'shape': (2,)}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} {",
        "{'descr': '<f4, 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}",
    ] {
        assert!(parse_bytes(&file_with(text, 8)).is_err(), "{text}");
    }
    // Deep nesting must not exhaust the stack, and a long header is not even read.
    for depth in [100, 4000, 60_000] {
        assert!(parse_bytes(&file_with(&"(".repeat(depth), 0)).is_err());
        assert!(parse_bytes(&file_with(&format!("{{'shape': {}", "(".repeat(depth)), 0)).is_err());
    }
    let mut huge = b"\x93NUMPY\x02\x00".to_vec();
    huge.extend(u32::MAX.to_le_bytes());
    assert!(parse_bytes(&huge).is_err());
}

#[test]
fn every_truncation_is_refused() {
    for name in ["ramp_f4.npy", "ramp_c16.npy", "version2_f4.npy"] {
        let whole = golden(name);
        for length in 0..whole.len() {
            let error = parse_bytes(&whole[..length]).unwrap_err();
            assert!(
                matches!(error, Error::Data { .. }),
                "{name} cut to {length}: {error}"
            );
        }
        let longer = [whole.as_slice(), &[0]].concat();
        assert!(parse_bytes(&longer).is_err());
    }
}

#[test]
fn every_flipped_header_bit_is_refused_or_harmless() {
    for name in [
        "ramp_f4.npy",
        "ramp_c8.npy",
        "ramp_u1.npy",
        "volume_f4.npy",
        "version2_f4.npy",
    ] {
        let whole = golden(name);
        let original = parse_bytes(&whole).unwrap();
        for byte in 0..128 {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[byte] ^= 1 << bit;
                if let Ok(array) = parse_bytes(&damaged) {
                    assert_eq!(array, original, "{name}: byte {byte}, bit {bit}");
                }
            }
        }
    }
}

#[test]
fn random_damage_never_panics() {
    let mut stream = Stream::new(7, "npy damage");
    for name in [
        "ramp_f4.npy",
        "ramp_c16.npy",
        "ramp_i1.npy",
        "version2_f4.npy",
    ] {
        let whole = golden(name);
        for _ in 0..5000 {
            let mut damaged = whole.clone();
            for _ in 0..=stream.below(6) {
                let at = stream.below(damaged.len());
                damaged[at] = stream.below(256) as u8;
            }
            damaged.truncate(damaged.len() - stream.below(2) * stream.below(damaged.len()));
            if let Ok(array) = parse_bytes(&damaged) {
                let elements: usize = array.shape().iter().product();
                let held = match &array {
                    AnyArray::Real(array) => array.data.len(),
                    AnyArray::Complex(array) => array.data.len(),
                };
                assert_eq!(held, elements);
            }
        }
    }
}
