dnl SPDX-License-Identifier: Apache-2.0
# FARO_TRY_FLAG(VARIABLE, FLAG): appends the flag to the variable if compiler and linker take it.
AC_DEFUN([FARO_TRY_FLAG], [
AS_VAR_PUSHDEF([cache], [faro_cv_flag_$2])
AC_CACHE_CHECK([whether $CC accepts $2], [cache], [
	faro_save_CFLAGS=$CFLAGS
	CFLAGS="-Werror $2"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <string.h>]], [[char a[32]; memset(a, 0, sizeof(a)); return a[0];]])],
		[AS_VAR_SET([cache], [yes])], [AS_VAR_SET([cache], [no])])
	CFLAGS=$faro_save_CFLAGS])
AS_VAR_IF([cache], [yes], [AS_VAR_APPEND([$1], [" $2"])])
AS_VAR_POPDEF([cache])
])

AC_DEFUN([FARO_WARNINGS], [
AC_ARG_ENABLE([werror], [AS_HELP_STRING([--enable-werror], [make warnings errors (CI does)])],
	[], [enable_werror=no])
WARN_CFLAGS="-std=gnu11"
for flag in -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
	-Wpointer-arith -Wwrite-strings -Wvla -Wformat=2 -Wundef; do
	WARN_CFLAGS="$WARN_CFLAGS $flag"
done
AS_IF([test "$enable_werror" = yes], [WARN_CFLAGS="$WARN_CFLAGS -Werror"])
AC_SUBST([WARN_CFLAGS])
])

# On by default; --disable-hardening is for sanitizer and valgrind builds.
AC_DEFUN([FARO_HARDENING], [
AC_ARG_ENABLE([hardening], [AS_HELP_STRING([--disable-hardening],
	[build without stack protector, FORTIFY, PIE and RELRO (for sanitizers)])],
	[], [enable_hardening=yes])
HARDEN_CFLAGS= HARDEN_LDFLAGS=
AS_IF([test "$enable_hardening" = yes], [
	FARO_TRY_FLAG([HARDEN_CFLAGS], [-fstack-protector-strong])
	FARO_TRY_FLAG([HARDEN_CFLAGS], [-fstack-clash-protection])
	FARO_TRY_FLAG([HARDEN_CFLAGS], [-fcf-protection])
	FARO_TRY_FLAG([HARDEN_CFLAGS], [-fno-strict-overflow])
	FARO_TRY_FLAG([HARDEN_CFLAGS], [-fPIE])
	FARO_TRY_FLAG([HARDEN_LDFLAGS], [-pie])
	FARO_TRY_FLAG([HARDEN_LDFLAGS], [-Wl,-z,relro])
	FARO_TRY_FLAG([HARDEN_LDFLAGS], [-Wl,-z,now])
	FARO_TRY_FLAG([HARDEN_LDFLAGS], [-Wl,-z,noexecstack])
	# FORTIFY needs an optimizing build, and a compiler may have set a level of its own.
	AS_CASE([" $CFLAGS "], [*" -O0 "*], [],
		[*" -O"*], [HARDEN_CFLAGS="$HARDEN_CFLAGS -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2"])
])
AC_SUBST([HARDEN_CFLAGS])
AC_SUBST([HARDEN_LDFLAGS])
])
