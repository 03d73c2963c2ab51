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

# FARO_XXHASH_DISPATCH: for x86, xxhash may come with a choice at run time of what the processor has,
# which gives the same hash for less. Not every build of the library has it.
AC_DEFUN([FARO_XXHASH_DISPATCH], [
AC_MSG_CHECKING([whether xxhash chooses by processor])
faro_saved_cppflags=$CPPFLAGS
faro_saved_libs=$LIBS
CPPFLAGS="$CPPFLAGS $XXHASH_CFLAGS"
LIBS="$XXHASH_LIBS $LIBS"
AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <xxh_x86dispatch.h>]],
	[[return (int)XXH3_128bits_withSeed("", 0, 0).low64;]])],
	[AC_MSG_RESULT([yes])
	AC_DEFINE([HAVE_XXHASH_DISPATCH], [1], [xxh_x86dispatch.h and its functions are there])],
	[AC_MSG_RESULT([no])])
CPPFLAGS=$faro_saved_cppflags
LIBS=$faro_saved_libs
])
