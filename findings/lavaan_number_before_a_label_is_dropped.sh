#!/usr/bin/env bash
# lavaan 0.6-14: a number and a label before one name ("0.5*a*x2" or "a*0.5*x2") are not refused; in either order only the
# label stays: the loading is estimated (.547) with one degree of freedom less. The same with start(). Written as two
# terms both stay, but "NA*x + 2*x" is free where "2*x + NA*x" is fixed at 2. No warning.
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
fit <- function(text) cfa(text, data = HolzingerSwineford1939)
seen <- function(text) {
  f <- fit(text)
  p <- parameterEstimates(f)
  row <- p[p$op == "=~" & p$rhs == "x2", ]
  cat(sprintf("%-42s df %g, x2 %.3f, fixed: %s\n", gsub("\n", "; ", text), fitMeasures(f, "df"), row$est, row$se == 0))
  c(df = unname(fitMeasures(f, "df")), est = row$est, free = row$se > 0)
}
number <- seen("f =~ x1 + 0.5*x2 + x3 + x4")
both <- seen("f =~ x1 + 0.5*a*x2 + x3 + x4")
turned <- seen("f =~ x1 + a*0.5*x2 + x3 + x4")
apart <- seen("f =~ x1 + 0.5*x2 + a*x2 + x3 + x4")
stopifnot(number["df"] == 3, number["est"] == 0.5, !number["free"])
stopifnot(both["df"] == 2, abs(both["est"] - 0.547) < 0.001, both["free"] == 1, all(turned == both))
stopifnot(apart["df"] == 3, apart["est"] == 0.5)
start <- function(text) { t <- lavaanify(text, fixed.x = FALSE); t[t$op == "~", "ustart"] }
stopifnot(is.na(start("y ~ start(.5)*a*x")), start("y ~ start(.5)*x + a*x") == 0.5)
free <- function(text) { t <- lavaanify(text, fixed.x = FALSE); t[t$op == "~", "free"] }
cat("NA*x + 2*x free:", free("y ~ NA*x + 2*x"), " 2*x + NA*x free:", free("y ~ 2*x + NA*x"), "\n")
stopifnot(free("y ~ NA*x + 2*x") == 1, free("y ~ 2*x + NA*x") == 0)
R
R_LIBS_USER=unpacked/usr/lib/R/site-library Rscript --vanilla seen.R
echo "as described"
