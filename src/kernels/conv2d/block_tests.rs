//! Blocks stay within a workgroup and its memory.

use super::super::dense::Origin;
use super::*;
use crate::shader;
use crate::shape::Padding;

#[test]
fn every_window_up_to_five_fits_and_larger_ones_do_not() {
    for padding in Padding::ALL {
        for size in [1, 3, 5] {
            let window = Window::same(size, padding);
            assert!(Block::DEFAULT.takes(window));
            for outputs in [1, 6, 8, 24, 63, 64, 65, 96] {
                let block = Block::DEFAULT.fitted(outputs);
                assert!(block.takes(window), "{outputs} outputs, {size}");
                assert!(THREADS.contains(&block.threads()));
                let padded = outputs.next_multiple_of(block.channels as usize);
                assert!(padded - outputs < 8 * outputs.div_ceil(64));
            }
        }
        assert!(!Block::DEFAULT.takes(Window::same(7, padding)));
        let strided = Window {
            stride: 2,
            ..Window::same(3, padding)
        };
        assert!(!Block::DEFAULT.takes(strided));
    }
}

#[test]
fn shared_blocks_stay_within_a_workgroup_and_every_share_has_fields() {
    let chain = Chain::none();
    for (size, shares, inputs) in [1, 3, 5, 7]
        .into_iter()
        .flat_map(|size| [1, 2, 4, 8].map(move |shares| (size, shares)))
        .flat_map(|(size, shares)| [1, 7, 96].map(move |inputs| (size, shares, inputs)))
    {
        for (shape, memory) in [
            ([8, 16, 4, 4], WEBGPU_MEMORY),
            ([8, 16, 8, 4], 2 * WEBGPU_MEMORY),
            ([16, 16, 8, 8], WEBGPU_MEMORY),
            ([64, 16, 8, 4], WEBGPU_MEMORY),
        ] {
            let [channels, columns, rows, pixels] = shape;
            let block = Block::new(channels, columns, rows, pixels, 18)
                .with_shares(shares)
                .with_memory(memory)
                .fitted(channels as usize);
            let window = Window::same(size, Padding::Zero);
            if !block.takes(window) {
                continue;
            }
            assert!(THREADS.contains(&block.threads()), "{block}");
            let image = Shape::new(1, inputs, 21, 20);
            let origin = -(window.radius() as i32);
            let dense = Dense {
                x: image,
                output: Shape::new(1, channels as usize, 21, 20),
                origin: Origin {
                    row: origin,
                    column: origin,
                },
                window,
                chain: &chain,
                source: Slot::Input(0),
                result: Slot::Output,
                kernels: false,
                folded: false,
            };
            let launch = block.launch(&dense, Slot::Input(1));
            let composed = shader::compose(launch.path, &launch.variant).unwrap();
            let fields = composed.text.lines().find_map(|line| {
                line.strip_prefix("const FIELDS: u32 = ")?
                    .strip_suffix("u;")
            });
            let fields: u32 = fields.unwrap().parse().unwrap();
            assert!(fields > 0 && fields.is_multiple_of(shares), "{block}");
            let held = shader::check(composed).unwrap().interface.workgroup_bytes;
            assert!(held <= memory, "{block}: {held}");
        }
    }
}

#[test]
fn sums_are_added_in_rounds_for_which_the_patches_have_room() {
    let block = Block::new(8, 16, 4, 4, 18).with_shares(8);
    let half = block.threads() / 2;
    for (room, rounds) in [(8, 1), (9, 1), (7, 2), (4, 2), (3, 3), (1, 8)] {
        let words = 4 * half * room;
        let text = block.join(words + 3);
        assert_eq!(text.matches("workgroupBarrier").count(), 2 * rounds);
        for name in block.accumulators() {
            assert_eq!(text.matches(&format!("{name} += vec4(")).count(), 1);
            assert_eq!(text.matches(&format!("= {name}.w;")).count(), 1);
        }
        let places = text.split("[sum + ").skip(1);
        let places = places.map(|rest| rest.split('u').next().unwrap().parse().unwrap());
        assert!(places.max().is_some_and(|last: u32| last + half <= words));
    }
}

#[test]
fn what_does_not_fit_is_not_taken() {
    let window = |size| Window::same(size, Padding::Zero);
    let few = Block::new(8, 16, 4, 4, 18);
    assert!(few.with_shares(8).takes(window(3)));
    // Eight fields of 3200 bytes.
    assert!(!few.with_shares(8).takes(window(5)));
    assert!(few.with_shares(4).takes(window(5)));
    // 512 threads.
    assert!(!Block::DEFAULT.with_shares(2).takes(window(1)));
    assert!(Block::DEFAULT.takes(window(1)));
    // More accumulators in a round than pixels in the patches.
    let wide = Block::new(64, 8, 4, 4, 18);
    assert!(wide.takes(window(1)) && !wide.with_shares(2).takes(window(1)));
}
