// SPDX-License-Identifier: Apache-2.0

//! The relay server: authenticates devices, keeps their envelopes, brings their runs to the chain.
