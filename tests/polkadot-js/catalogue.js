// SPDX-License-Identifier: Apache-2.0
//
// What polkadot-js knows of our pallets: the same metadata from which Apps makes its pages.

export const PALLETS = ['admission', 'studies', 'clientHashchain', 'consortium', 'accountability', 'finality'];

/** The doc comment of a metadata item as one paragraph. */
export const docs = (meta) =>
  meta.docs.map((line) => line.toString().trim()).join(' ').replace(/\s+/g, ' ').trim();

/** A type by the name that Apps shows for it. */
const typeName = (api, id) => {
  const { lookupName, type } = api.registry.lookup.getTypeDef(id);
  return lookupName ?? type;
};

const field = (api, meta) => ({
  name: meta.name.isSome ? meta.name.unwrap().toString() : undefined,
  type: meta.type,
  typeName: meta.typeName.isSome ? meta.typeName.unwrap().toString() : typeName(api, meta.type),
  docs: docs(meta),
});

/**
 * Every storage item, call, event, error and constant of our pallets:
 * `{ kind, section, name, docs, fields: [{ name, type, typeName, docs }], types, index }`, where `types` are the ids of all
 * types in it, and `index` the two bytes that stand for a call, an event or an error: the pallet's, and its own.
 */
export function catalogue(api) {
  return PALLETS.flatMap((section) => {
    const pallet = api.runtimeMetadata.asLatest.pallets.find((each) => camel(each.name.toString()) === section);
    if (!pallet) throw new Error(`this chain has no pallet ${section}`);
    const item = (kind, meta, fields = [], types = []) => ({
      kind,
      section,
      name: meta.name.toString(),
      docs: docs(meta),
      fields,
      types: [...types, ...fields.map(({ type }) => type)],
    });
    const variants = (kind, container) =>
      container.isNone
        ? []
        : api.registry.lookup.getSiType(container.unwrap().type).def.asVariant.variants.map((variant) => ({
            ...item(kind, variant, variant.fields.map((each) => field(api, each))),
            index: [pallet.index.toNumber(), variant.index.toNumber()],
          }));

    return [
      ...storage(pallet).map((meta) =>
        item('storage', meta, [], meta.type.isMap ? [meta.type.asMap.key, meta.type.asMap.value] : [meta.type.asPlain]),
      ),
      ...variants('call', pallet.calls),
      ...variants('event', pallet.events),
      ...variants('error', pallet.errors),
      ...pallet.constants.map((meta) => item('constant', meta, [], [meta.type])),
    ];
  });
}

/** Every enum type that our pallets declare: `{ name, type, variants: [{ name, index, types }] }`. */
export function enums(api) {
  const ours = api.registry.lookup.types.filter(({ type }) => {
    const crate = (type.path[0]?.toString() ?? '').replaceAll('_', '');
    return type.def.isVariant && PALLETS.some((section) => crate.startsWith(`pallet${section.toLowerCase()}`));
  });
  return ours.map(({ id, type }) => ({
    name: type.path.join('::'),
    type: api.registry.createLookupType(id),
    variants: type.def.asVariant.variants.map(({ name, index, fields }) => ({
      name: name.toString(),
      index: index.toNumber(),
      types: fields.map((each) => each.type),
    })),
  }));
}

const storage = (pallet) => (pallet.storage.isSome ? [...pallet.storage.unwrap().items] : []);

/** The functions of our runtime API, as Apps lists them under Developer → Runtime calls. */
export function runtimeCalls(api) {
  const { methods } = api.runtimeMetadata.asLatest.apis.find(({ name }) => name.toString() === 'HashchainApi');
  return methods.map((method) => ({
    name: camel(method.name.toString()),
    docs: docs(method),
    params: method.inputs.map(({ name, type }) => `${name}: ${typeName(api, type)}`),
    type: typeName(api, method.output).replaceAll('PalletClientHashchainRuntimeApi', ''),
  }));
}

/** polkadot-js writes `ClientHashchain` as `clientHashchain`. */
export const camel = (name) => name[0].toLowerCase() + name.slice(1).replace(/_(.)/g, (_, letter) => letter.toUpperCase());
