#!/usr/bin/env bash
# lavaan 0.6-14, bounds = "pos.var": an error variance that runs into its bound is printed as 0.000 with an ordinary
# standard error and interval (partly below the bound), and no word is said, not even by the check of the solution; the
# saturated model then has a chi-square above 0 on 0 degrees of freedom. Without bounds the same data give a negative
# variance and a warning.
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

set.seed(2)
d <- data.frame(x1 = rnorm(100))
d$x2 <- d$x1 + rnorm(100) * 0.05
d$x3 <- 0.3 * d$x1 + rnorm(100)
said <- character()
noted <- function(f) withCallingHandlers(f, warning = function(w) {
  said <<- c(said, gsub("\\s+", " ", conditionMessage(w)))
  invokeRestart("muffleWarning")
})
free <- noted(cfa("f =~ x1 + x2 + x3", d))
print(said)
stopifnot(length(said) == 1, grepl("negative", said), fitMeasures(free, "chisq") < 1e-6)
said <- character()
bound <- noted(cfa("f =~ x1 + x2 + x3", d, bounds = "pos.var"))
p <- parameterEstimates(bound)
row <- p[p$op == "~~" & p$lhs == "x1", ]
print(row)
print(fitMeasures(bound, c("df", "chisq")))
cat("check of the solution passes:", lavInspect(bound, "post.check"), "\n")
stopifnot(length(said) == 0, lavInspect(bound, "post.check"), lavInspect(bound, "converged"))
stopifnot(abs(row$est) < 1e-6, row$se > 0.01, row$ci.lower < -0.03)
stopifnot(fitMeasures(bound, "df") == 0, fitMeasures(bound, "chisq") > 0.05)
R
R_LIBS_USER=unpacked/usr/lib/R/site-library Rscript --vanilla seen.R
echo "as described"
