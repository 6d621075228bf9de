// SPDX-License-Identifier: Apache-2.0

//! How every server of mHealth Chain starts, listens, reports and stops.
