# SPDX-License-Identifier: Apache-2.0
"""The one error of this package."""

from contextlib import contextmanager

from .native import mhealth


class MHealthError(Exception):
    """Something did not work. What was sealed is kept.

    `code` is stable and the same in every language. `reason` says with `device_frozen` why the phone was stopped. `advice` is what
    the person should do. The text of the exception is for developers.
    """

    def __init__(self, failed):
        super().__init__(f"{failed.code}: {failed.detail}")
        self.code = failed.code
        self.reason = failed.reason
        self.advice = failed.advice
        self.detail = failed.detail

    def sentence(self, language=mhealth.Language.ENGLISH):
        """What a participant is told."""
        failed = mhealth.SdkError.Failed(code=self.code, reason=self.reason, advice=self.advice, detail=self.detail)
        return mhealth.error_sentence(failed, language)


@contextmanager
def ours():
    """Errors of the library as errors of this package."""
    try:
        yield
    except mhealth.SdkError.Failed as failed:
        raise MHealthError(failed) from None
