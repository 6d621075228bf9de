# SPDX-License-Identifier: Apache-2.0
"""One wheel a platform, for every Python: the library inside is not built against one."""

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.dist import Distribution


class ForAPlatform(Distribution):
    def has_ext_modules(self):
        return True


class ForEveryPython(bdist_wheel):
    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


setup(distclass=ForAPlatform, cmdclass={"bdist_wheel": ForEveryPython})
