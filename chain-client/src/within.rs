// SPDX-License-Identifier: Apache-2.0

//! Finds every call within a call, at whatever depth, by the types of the metadata.
//!
//! No pallet is named here: what holds calls is whatever has the runtime's call type among its fields, boxed, in a vector, in
//! an option, in a structure. So a call that a later runtime adds is looked into like those of today.

use std::collections::HashMap;

use scale_info::form::PortableForm;
use scale_info::{PortableRegistry, TypeDef, TypeDefPrimitive};

/// How deep calls may lie within each other. The SDK decodes extrinsics to this depth of *any* nesting
/// (`sp_runtime::MAX_EXTRINSIC_DEPTH`), so no block holds what is deeper.
pub(crate) const MAX_DEPTH: usize = 256;

/// Why the calls within a call could not be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotFound {
    /// The bytes end early or name a variant that there is not.
    #[error("the call is not encoded as the metadata says")]
    Encoding,
    /// The metadata names a type that it does not have.
    #[error("the metadata lacks a type of the call")]
    Metadata,
    /// More than [`MAX_DEPTH`] calls lie within each other.
    #[error("more than {MAX_DEPTH} calls lie within each other")]
    TooDeep,
}

/// Hands over every call in `bytes`, the outermost first and then those within it, in the order of their bytes: how deep it
/// lies, from 0, and the bytes from its first on. They go on after its last.
pub(crate) fn each_call<'a, E: From<NotFound>>(
    types: &PortableRegistry,
    call: u32,
    bytes: &'a [u8],
    take: impl FnMut(usize, &'a [u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = Reader::new(types, Some(call), bytes);
    reader.value(call, take)
}

/// The bytes after one value of each of these types.
pub(crate) fn after<'a>(
    types: &PortableRegistry,
    values: impl IntoIterator<Item = u32>,
    bytes: &'a [u8],
) -> Result<&'a [u8], NotFound> {
    let mut reader = Reader::new(types, None, bytes);
    for value in values {
        reader.value(value, |_, _| Ok::<_, NotFound>(()))?;
    }
    Ok(reader.rest)
}

/// What is still to be read.
enum Todo {
    /// So many values of a type, one after the other.
    Values(u32, usize),
    /// The end of a call.
    Leave,
}

struct Reader<'a, 't> {
    types: &'t PortableRegistry,
    call: Option<u32>,
    rest: &'a [u8],
    /// How many bytes values of a type take, where all take the same.
    sizes: HashMap<u32, Option<usize>>,
}

impl<'a, 't> Reader<'a, 't> {
    fn new(types: &'t PortableRegistry, call: Option<u32>, bytes: &'a [u8]) -> Self {
        Reader {
            types,
            call,
            rest: bytes,
            sizes: HashMap::new(),
        }
    }

    /// Reads a value, and hands over the calls in it.
    ///
    /// Takes time in proportion to the bytes, and no stack: what a stranger nests costs him more than it costs the reader.
    fn value<E: From<NotFound>>(
        &mut self,
        id: u32,
        mut take: impl FnMut(usize, &'a [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut depth = 0;
        let mut todo = vec![Todo::Values(id, 1)];
        while let Some(next) = todo.pop() {
            let (id, times) = match next {
                Todo::Leave => {
                    depth -= 1;
                    continue;
                }
                Todo::Values(_, 0) => continue,
                Todo::Values(id, times) => (id, times),
            };
            if let Some(size) = self.size(id)? {
                self.skip(size.checked_mul(times).ok_or(NotFound::Encoding)?)?;
                continue;
            }
            todo.push(Todo::Values(id, times - 1));
            if Some(id) == self.call {
                if depth == MAX_DEPTH {
                    return Err(NotFound::TooDeep.into());
                }
                take(depth, self.rest)?;
                depth += 1;
                todo.push(Todo::Leave);
            }
            self.open(id, &mut todo)?;
        }
        Ok(())
    }

    fn definition(&self, id: u32) -> Result<&'t TypeDef<PortableForm>, NotFound> {
        let found = self.types.resolve(id).ok_or(NotFound::Metadata)?;
        Ok(&found.type_def)
    }

    fn skip(&mut self, bytes: usize) -> Result<&'a [u8], NotFound> {
        let (skipped, rest) = self
            .rest
            .split_at_checked(bytes)
            .ok_or(NotFound::Encoding)?;
        self.rest = rest;
        Ok(skipped)
    }

    /// A compact number. One of more than 8 bytes is no length of anything, and is given as the largest there is.
    fn compact(&mut self) -> Result<u64, NotFound> {
        let first = *self.rest.first().ok_or(NotFound::Encoding)?;
        let (bytes, shift) = match first & 0b11 {
            0 => (self.skip(1)?, 2),
            1 => (self.skip(2)?, 2),
            2 => (self.skip(4)?, 2),
            _ => {
                self.skip(1)?;
                (self.skip(usize::from(first >> 2) + 4)?, 0)
            }
        };
        let mut number = [0; 8];
        match number.get_mut(..bytes.len()) {
            Some(place) => place.copy_from_slice(bytes),
            None => number = [0xff; 8],
        }
        Ok(u64::from_le_bytes(number) >> shift)
    }

    fn length(&mut self) -> Result<usize, NotFound> {
        usize::try_from(self.compact()?).map_err(|_| NotFound::Encoding)
    }

    /// Reads what comes before a value's parts, and notes these as what is to be read next.
    fn open(&mut self, id: u32, todo: &mut Vec<Todo>) -> Result<(), NotFound> {
        let before = todo.len();
        match self.definition(id)? {
            TypeDef::Composite(composite) => {
                todo.extend(
                    composite
                        .fields
                        .iter()
                        .map(|field| Todo::Values(field.ty.id, 1)),
                );
            }
            TypeDef::Tuple(tuple) => {
                todo.extend(tuple.fields.iter().map(|field| Todo::Values(field.id, 1)));
            }
            TypeDef::Variant(variants) => {
                let index = self.skip(1)?[0];
                let mut variants = variants.variants.iter();
                let variant = variants.find(|variant| variant.index == index);
                let fields = &variant.ok_or(NotFound::Encoding)?.fields;
                todo.extend(fields.iter().map(|field| Todo::Values(field.ty.id, 1)));
            }
            TypeDef::Sequence(sequence) => {
                todo.push(Todo::Values(sequence.type_param.id, self.length()?));
            }
            TypeDef::Array(array) => {
                todo.push(Todo::Values(array.type_param.id, array.len as usize));
            }
            TypeDef::Compact(_) => drop(self.compact()?),
            TypeDef::Primitive(_) => {
                // Of the primitives, text alone has no fixed size.
                let length = self.length()?;
                self.skip(length)?;
            }
            TypeDef::BitSequence(bits) => {
                let unit = self.size(bits.bit_store_type.id)?;
                let unit = unit.filter(|unit| *unit > 0).ok_or(NotFound::Metadata)?;
                let units = self.length()?.div_ceil(8 * unit);
                self.skip(units.checked_mul(unit).ok_or(NotFound::Encoding)?)?;
            }
        }
        // What was noted last is read first.
        todo[before..].reverse();
        Ok(())
    }

    /// How many bytes every value of the type takes; none if that differs, or it may hold a call.
    fn size(&mut self, id: u32) -> Result<Option<usize>, NotFound> {
        if let Some(known) = self.sizes.get(&id) {
            return Ok(*known);
        }
        // A type that holds itself has no fixed size; so this ends.
        self.sizes.insert(id, None);
        let size = match self.definition(id)? {
            _ if Some(id) == self.call => None,
            TypeDef::Composite(composite) => {
                self.sum(composite.fields.iter().map(|field| field.ty.id))?
            }
            TypeDef::Tuple(tuple) => self.sum(tuple.fields.iter().map(|field| field.id))?,
            TypeDef::Array(array) => {
                let item = self.size(array.type_param.id)?;
                item.and_then(|item| item.checked_mul(array.len as usize))
            }
            TypeDef::Variant(variants) => {
                let mut variants = variants.variants.iter();
                variants
                    .all(|variant| variant.fields.is_empty())
                    .then_some(1)
            }
            TypeDef::Primitive(primitive) => size_of_primitive(primitive),
            TypeDef::Sequence(_) | TypeDef::Compact(_) | TypeDef::BitSequence(_) => None,
        };
        self.sizes.insert(id, size);
        Ok(size)
    }

    fn sum(&mut self, parts: impl Iterator<Item = u32>) -> Result<Option<usize>, NotFound> {
        let mut sum = Some(0usize);
        for part in parts {
            let size = self.size(part)?;
            sum = sum.zip(size).and_then(|(sum, size)| sum.checked_add(size));
        }
        Ok(sum)
    }
}

fn size_of_primitive(primitive: &TypeDefPrimitive) -> Option<usize> {
    use TypeDefPrimitive::{
        Bool, Char, Str, I128, I16, I256, I32, I64, I8, U128, U16, U256, U32, U64, U8,
    };
    match primitive {
        Str => None,
        Bool | U8 | I8 => Some(1),
        U16 | I16 => Some(2),
        Char | U32 | I32 => Some(4),
        U64 | I64 => Some(8),
        U128 | I128 => Some(16),
        U256 | I256 => Some(32),
    }
}

#[cfg(test)]
mod tests;
