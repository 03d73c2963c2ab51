dnl SPDX-License-Identifier: Apache-2.0
# FARO_LIBRARY(VARIABLE, PKG-CONFIG MODULE, DEBIAN PACKAGE)
# Finds a library; what is missing is collected, so that one run names all of it.
AC_DEFUN([FARO_LIBRARY], [
PKG_CHECK_MODULES([$1], [$2], [], [
	faro_missing="$faro_missing
  $2: apt-get install $3"])
])

# FARO_REPORT_MISSING: after all of them.
AC_DEFUN([FARO_REPORT_MISSING], [
AS_IF([test -n "$faro_missing"],
	[AC_MSG_ERROR([these libraries are missing; on Debian they come with$faro_missing])])
])
