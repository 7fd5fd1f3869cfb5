#!/usr/bin/env bash
# lavaan 0.6-14: a line without an operator is glued to the one before it, names and all. Where the "+" between "x2" and
# a next line "1*x3 + x4" was forgotten, x2 leaves the model, "x21" becomes the label of x3's loading and the 1 is gone;
# "y ~ x1" and "0*x2" on the next line leave y on x2, estimated. No warning: the tables only look shorter.
set -euo pipefail
command -v Rscript >/dev/null || { echo "not run: no R here"; exit 0; }
command -v apt-get >/dev/null && command -v dpkg >/dev/null || { echo "not run: no apt-get here"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -qq download r-cran-lavaan=0.6.14-1 r-cran-mass=7.3-58.2-1 r-cran-mnormt=2.1.1-2 r-cran-numderiv=2016.8-1.1-3 \
  r-cran-pbivnorm=0.6.0-4 r-cran-quadprog=1.5-8-1+b1 2>apt.log || { echo "not run: these Debian packages are not to be had here"; exit 0; }
for deb in ./*.deb; do dpkg -x "$deb" unpacked; done
cat > seen.R <<'R'
suppressMessages(library(lavaan, lib.loc = c("unpacked/usr/lib/R/site-library", "unpacked/usr/lib/R/library")))
stopifnot(packageVersion("lavaan") == "0.6.14")
cat("lavaan", as.character(packageVersion("lavaan")), "\n")

options(warn = 2)
f <- cfa("f =~ x1 + x2\n1*x3 + x4 + x5", data = HolzingerSwineford1939)
p <- parameterEstimates(f)
p <- p[p$op == "=~", ]
print(p[, c("lhs", "op", "rhs", "label", "est")])
cat("observed:", lavNames(f), " df", fitMeasures(f, "df"), "\n")
stopifnot(p$rhs == c("x1", "x3", "x4", "x5"), p$label[2] == "x21", abs(p$est[2] - 1) > 0.1, fitMeasures(f, "df") == 2)
t <- lavaanify("y ~ x1\n0*x2", fixed.x = FALSE)
t <- t[t$op == "~", ]
print(t[, c("lhs", "op", "rhs", "free", "label")])
stopifnot(t$rhs == "x2", t$free == 1, t$label == "x10")
R
R_LIBS_USER=unpacked/usr/lib/R/site-library Rscript --vanilla seen.R
echo "as described"
