// SPDX-License-Identifier: Apache-2.0

/** Why a host did not do what was asked; the names are those that the library knows. */
export class HostFault extends Error {
  constructor(
    readonly fault:
      | 'full' | 'in_use' | 'damaged' | 'foreign' | 'locked'
      | 'too_long' | 'untrusted' | 'not_valid_yet' | 'expired' | 'not_allowed' | 'failed',
    message: string = fault,
  ) {
    super(message);
    this.name = 'HostFault';
  }
}
