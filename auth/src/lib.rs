// SPDX-License-Identifier: Apache-2.0

//! The authentication server: enrols devices and issues their authentication keys.
