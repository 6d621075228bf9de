// SPDX-License-Identifier: Apache-2.0

//! Executes a runtime's code for one thing: its metadata, which says how its calls, its events and its state read.
//!
//! The code stands in the state of a block, and only the whole audit shows that the block is final. So it is executed as a stranger's: in
//! an interpreter, with bounds on its steps, its memory and its stack, and with none of a node's functions but those that give memory.

use std::borrow::Cow;

use codec::{DecodeAll, Encode};
use mhealth_chain_client::{METADATA_FUNCTION, METADATA_VERSIONS};
use sp_maybe_compressed_blob::{decompress, CODE_BLOB_BOMB_LIMIT};
use wasmi::errors::{ErrorKind, MemoryError};
use wasmi::{
    AsContext, AsContextMut, Caller, Config, Engine, Error, ExternType, Instance, Linker, Memory,
    Module, Store, StoreLimits, StoreLimitsBuilder, TrapCode,
};

/// What a code may take.
struct Limits {
    /// Steps of the interpreter, about one for each instruction.
    steps: u64,
    /// Bytes of memory. None are given back: a code runs once for each version of metadata.
    memory: usize,
}

/// Far more than metadata takes. A code that goes on for ever costs an audit a minute or so.
const LIMITS: Limits = Limits {
    steps: 10_000_000_000,
    memory: 256 << 20,
};
/// Steps of all codes of an audit: a node may show another one at every block.
const ALL_STEPS: u64 = 5 * LIMITS.steps;
/// What a code counts for at least: it has to be unpacked and looked through, too.
const LEAST_STEPS: u64 = 100_000_000;
/// Calls within calls.
const MOST_DEPTH: usize = 10_000;
/// Entries of the table of functions.
const MOST_FUNCTIONS: usize = 1 << 20;
/// Bytes of metadata, which takes many times as many once it is read. The real one has some hundred thousand.
const MOST_METADATA: usize = 8 << 20;

/// Bytes of why a code panicked that are told.
const MOST_WORDS: usize = 200;

/// Bytes of a page of memory, and how many pages it grows by at least.
const PAGE: u64 = 64 << 10;
const GROWTH: u64 = 64;
/// What the addresses of memory are multiples of that is given out.
const ALIGNMENT: u64 = 8;

/// Why no metadata came of a code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeFault {
    /// It does not unpack, or to more than nodes take.
    #[error("it cannot be unpacked")]
    NotUnpacked,
    /// It goes on and on.
    #[error("it does not end")]
    Endless,
    /// It asks for more memory than it gets.
    #[error("it takes too much memory")]
    TooMuchMemory,
    /// It is no runtime, or fails.
    #[error("it fails: {0}")]
    Failed(String),
    /// What it answers is not encoded as metadata is.
    #[error("what it answers is no metadata")]
    NoAnswer,
    /// It has metadata of other versions only.
    #[error("it has no metadata of a version that is read here")]
    OtherVersions,
    /// The codes before it took all steps that an audit has.
    #[error("it is not executed: those before it took too long")]
    NoStepsLeft,
}

impl From<Error> for CodeFault {
    fn from(error: Error) -> Self {
        match (error.as_trap_code(), error.kind()) {
            (Some(TrapCode::OutOfFuel), _) => CodeFault::Endless,
            (Some(TrapCode::GrowthOperationLimited), _)
            | (_, ErrorKind::Memory(MemoryError::ResourceLimiterDeniedAllocation)) => {
                CodeFault::TooMuchMemory
            }
            _ => CodeFault::Failed(error.to_string()),
        }
    }
}

/// The steps that an audit has left for codes.
#[derive(Clone, Copy)]
pub(super) struct StepsLeft(u64);

impl StepsLeft {
    /// Those of an audit that begins.
    pub(super) fn all() -> Self {
        StepsLeft(ALL_STEPS)
    }

    /// [`metadata_of`], if there are steps left.
    pub(super) fn metadata_of(&mut self, code: &[u8]) -> Result<Vec<u8>, CodeFault> {
        if self.0 == 0 {
            return Err(CodeFault::NoStepsLeft);
        }
        let (metadata, taken) = metadata_within(code, &LIMITS);
        self.0 = self.0.saturating_sub(taken.max(LEAST_STEPS));
        metadata
    }
}

/// The metadata of the runtime with this code, as the state has it.
pub fn metadata_of(code: &[u8]) -> Result<Vec<u8>, CodeFault> {
    metadata_within(code, &LIMITS).0
}

/// The same, and the steps that it took.
fn metadata_within(code: &[u8], limits: &Limits) -> (Result<Vec<u8>, CodeFault>, u64) {
    let mut steps = limits.steps;
    let metadata = execute(code, limits.memory, &mut steps);
    (metadata, limits.steps.saturating_sub(steps))
}

fn execute(code: &[u8], memory: usize, steps: &mut u64) -> Result<Vec<u8>, CodeFault> {
    let wasm: Cow<'_, [u8]> =
        decompress(code, CODE_BLOB_BOMB_LIMIT).map_err(|_| CodeFault::NotUnpacked)?;
    for version in METADATA_VERSIONS {
        let answer = ask(&wasm, version, memory, steps)?;
        let metadata = Option::<Vec<u8>>::decode_all(&mut &answer[..]);
        if let Some(metadata) = metadata.map_err(|_| CodeFault::NoAnswer)? {
            return Ok(metadata);
        }
    }
    Err(CodeFault::OtherVersions)
}

/// What a code answers that is asked for its metadata in this version. Takes steps off those that there are.
fn ask(wasm: &[u8], version: u32, memory: usize, steps: &mut u64) -> Result<Vec<u8>, Error> {
    let engine = engine();
    let module = Module::new(&engine, wasm)?;
    let mut store = store(&engine, memory);
    store.set_fuel(*steps)?;
    let started = start(&mut store, &engine, &module);
    let answer = started.and_then(|instance| {
        let argument = version.encode();
        call(&mut store, &instance, METADATA_FUNCTION, &argument)
    });
    *steps = store.get_fuel()?;
    answer
}

/// What the code's calls of functions that are not its own find.
struct Host {
    memory: Option<Memory>,
    /// Memory from here on was not given out.
    free: u64,
    limits: StoreLimits,
}

fn engine() -> Engine {
    let mut config = Config::default();
    config
        .consume_fuel(true)
        .ignore_custom_sections(true)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .set_max_recursion_depth(MOST_DEPTH);
    Engine::new(&config)
}

fn store(engine: &Engine, memory: usize) -> Store<Host> {
    let limits = StoreLimitsBuilder::new()
        .memory_size(memory)
        .tables(1)
        .table_elements(MOST_FUNCTIONS)
        .trap_on_grow_failure(true);
    let host = Host {
        memory: None,
        free: 0,
        limits: limits.build(),
    };
    let mut store = Store::new(engine, host);
    store.limiter(|host| &mut host.limits);
    store
}

/// The code, ready to be called.
fn start(store: &mut Store<Host>, engine: &Engine, module: &Module) -> Result<Instance, Error> {
    let linker = linker(engine, module, store)?;
    let instance = linker.instantiate_and_start(&mut *store, module)?;
    if let Some(own) = instance.get_memory(&*store, "memory") {
        store.data_mut().memory = Some(own);
    }
    let base = instance.get_global(&*store, "__heap_base");
    let base = base.and_then(|base| base.get(&*store).i32());
    let base = base.ok_or_else(|| Error::new("it does not say where its heap begins"))?;
    store.data_mut().free = u64::from(base as u32).next_multiple_of(ALIGNMENT);
    Ok(instance)
}

/// What a runtime asks of a node: memory; how much to log, which is nothing; and all that metadata does not take.
fn linker(
    engine: &Engine,
    module: &Module,
    store: &mut Store<Host>,
) -> Result<Linker<Host>, Error> {
    let mut linker = Linker::<Host>::new(engine);
    linker.allow_shadowing(true);
    for import in module.imports() {
        let (from, name) = (import.module(), import.name());
        match import.ty() {
            ExternType::Memory(form) => {
                let memory = Memory::new(&mut *store, *form)?;
                store.data_mut().memory = Some(memory);
                linker.define(from, name, memory)?;
            }
            ExternType::Func(form) => {
                let called = name.to_owned();
                linker.func_new(from, name, form.clone(), move |_, _, _| {
                    Err(Error::new(format!("it calls {called}")))
                })?;
            }
            // Nodes have none.
            ExternType::Global(_) | ExternType::Table(_) => {}
        }
    }
    linker.func_wrap("env", "ext_allocator_malloc_version_1", malloc)?;
    linker.func_wrap("env", "ext_allocator_free_version_1", |_: i32| ())?;
    linker.func_wrap("env", "ext_logging_max_level_version_1", || 0_i32)?;
    linker.func_wrap("env", "ext_logging_log_version_1", panicked)?;
    Ok(linker)
}

/// Where nothing is to be logged, a runtime logs why it panicked.
fn panicked(caller: Caller<'_, Host>, _level: i32, _target: i64, why: i64) -> Result<(), Error> {
    let (address, length) = of_pair(why as u64);
    let why = memory(&caller)?
        .data(&caller)
        .get(address..address + length.min(MOST_WORDS));
    let why = String::from_utf8_lossy(why.unwrap_or_default());
    let why = why.replace(char::is_control, " ");
    Err(Error::new(format!("it panics: {why}")))
}

/// An address and a length, as runtimes and nodes give both in one number.
fn of_pair(pair: u64) -> (usize, usize) {
    (pair as u32 as usize, (pair >> 32) as usize)
}

fn malloc(caller: Caller<'_, Host>, size: i32) -> Result<i32, Error> {
    // Addresses and sizes have no sign.
    Ok(allocate(caller, u64::from(size as u32))? as i32)
}

/// The address of so many bytes that nobody has. Before them lie a node's eight bytes of its own: the allocator in a runtime (`sp-io`)
/// writes into the last two of them how far it moved what it was given.
fn allocate(mut context: impl AsContextMut<Data = Host>, size: u64) -> Result<u32, Error> {
    let start = context.as_context().data().free + ALIGNMENT;
    let memory = memory(&context)?;
    let end = start + size.next_multiple_of(ALIGNMENT);
    let lacking = end.saturating_sub(memory.data_size(&context) as u64);
    if lacking > 0 {
        let pages = lacking.div_ceil(PAGE).next_multiple_of(GROWTH);
        let grown = memory.grow(&mut context, pages);
        grown.map_err(|_| Error::from(TrapCode::GrowthOperationLimited))?;
    }
    context.as_context_mut().data_mut().free = end;
    let start = u32::try_from(start);
    start.map_err(|_| Error::from(TrapCode::GrowthOperationLimited))
}

fn memory(context: impl AsContext<Data = Host>) -> Result<Memory, Error> {
    let memory = context.as_context().data().memory;
    memory.ok_or_else(|| Error::new("it has no memory"))
}

/// Calls a function as nodes do: the argument's address and length, and the same of the answer in one number.
fn call(
    store: &mut Store<Host>,
    instance: &Instance,
    function: &str,
    argument: &[u8],
) -> Result<Vec<u8>, Error> {
    let function = instance.get_typed_func::<(i32, i32), i64>(&*store, function)?;
    let (address, length) = (
        allocate(&mut *store, argument.len() as u64)?,
        argument.len(),
    );
    let memory = memory(&*store)?;
    memory.write(&mut *store, address as usize, argument)?;
    let answer = function.call(&mut *store, (address as i32, length as i32))? as u64;
    let (address, length) = of_pair(answer);
    if length > MOST_METADATA {
        return Err(Error::new("its answer is too long"));
    }
    let answer = memory.data(&*store).get(address..address + length);
    let answer = answer.ok_or_else(|| Error::new("its answer is not in its memory"))?;
    Ok(answer.to_vec())
}

#[cfg(test)]
mod tests;
