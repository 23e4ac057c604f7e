//! Textures that kernels read numbers through.
//!
//! A texture holds a copy of a buffer, four numbers to a texel, row after row of the texture. On
//! processors that draw in software a load of four numbers by every lane costs a tenth of one from
//! a storage buffer, copying included; on hardware it goes through the texture cache.

use super::Gpu;
use crate::error::{Error, Result};

/// A two-dimensional texture of `rgba32float` that takes copies of buffers.
#[derive(Clone, Debug)]
pub struct Texture {
    raw: wgpu::Texture,
    view: wgpu::TextureView,
}

/// Texels in a row: `lib/texels.wgsl` has the same number.
const COLUMNS: u32 = 1024;
/// Bytes of a texel.
const TEXEL: u64 = 16;

impl Texture {
    /// Rows that hold `bytes` bytes.
    fn rows(bytes: u64) -> u64 {
        bytes.div_ceil(TEXEL * u64::from(COLUMNS)).max(1)
    }

    /// Whether every device can hold `bytes` bytes in one texture: WebGPU promises 8192 rows.
    pub const fn holds(bytes: u64) -> bool {
        bytes <= 8192 * TEXEL * COLUMNS as u64
    }

    /// Bytes of the texture for `bytes` bytes: whole rows.
    pub fn size(bytes: u64) -> u64 {
        Self::rows(bytes) * TEXEL * u64::from(COLUMNS)
    }

    /// What a kernel binds.
    pub fn view(&self) -> &wgpu::TextureView {
        &self.view
    }

    /// Records the copy of `bytes` bytes (rounded up to whole texels) from the byte `offset`, a
    /// multiple of 16, of `buffer`; the texture must be made for at least as many.
    pub fn copy_from(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        buffer: &wgpu::Buffer,
        offset: u64,
        bytes: u64,
    ) {
        let texels = bytes.div_ceil(TEXEL);
        let (rows, rest) = (
            (texels / u64::from(COLUMNS)) as u32,
            (texels % u64::from(COLUMNS)) as u32,
        );
        for (row, width, height) in [(0, COLUMNS, rows), (rows, rest, 1)] {
            if width == 0 || height == 0 {
                continue;
            }
            let source = wgpu::TexelCopyBufferInfo {
                buffer,
                layout: wgpu::TexelCopyBufferLayout {
                    offset: offset + u64::from(row) * TEXEL * u64::from(COLUMNS),
                    bytes_per_row: Some(TEXEL as u32 * COLUMNS),
                    rows_per_image: None,
                },
            };
            let target = wgpu::TexelCopyTextureInfo {
                texture: &self.raw,
                mip_level: 0,
                origin: wgpu::Origin3d { x: 0, y: row, z: 0 },
                aspect: wgpu::TextureAspect::All,
            };
            let extent = wgpu::Extent3d {
                width,
                height,
                depth_or_array_layers: 1,
            };
            encoder.copy_buffer_to_texture(source, target, extent);
        }
    }
}

impl Gpu {
    /// A texture for `bytes` bytes.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if it exceeds the device's limits or the device refuses it.
    pub fn texture(&self, bytes: u64) -> Result<Texture> {
        let rows = Texture::rows(bytes);
        let limit = u64::from(self.limits().max_texture_dimension_2d);
        if rows > limit {
            return Err(Error::OutOfMemory {
                needed: Texture::size(bytes),
                available: limit * TEXEL * u64::from(COLUMNS),
                advice: format!(
                    "an array is larger than a texture of {} can hold: use a smaller batch or image",
                    self.label()
                ),
            });
        }
        let scope = (self.device()).push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let raw = self.device().create_texture(&wgpu::TextureDescriptor {
            label: Some("texels"),
            size: wgpu::Extent3d {
                width: COLUMNS,
                height: rows as u32,
                depth_or_array_layers: 1,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba32Float,
            usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        });
        let view = raw.create_view(&Default::default());
        match pollster::block_on(scope.pop()) {
            None => Ok(Texture { raw, view }),
            Some(e) => Err(Error::OutOfMemory {
                needed: Texture::size(bytes),
                available: 0,
                advice: format!(
                    "{} refused a texture ({e}): use a smaller batch or recomputation, or close other programs that use the GPU",
                    self.label()
                ),
            }),
        }
    }
}
