#!/usr/bin/env bash
# lavaan 0.6-14, missing = "ml": where two questions were never asked together (split questionnaire) their covariance is
# counted among the data. A model that says nothing that could be seen to fail gets one degree of freedom, chi-square 0
# and p = 1, and a TLI above 1; five items of one factor get 5 degrees of freedom where 4 things can be tested, and the
# SRMR compares with a covariance that EM left where it started. The warning speaks of coverage only.
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

said <- character()
quiet <- function(f) withCallingHandlers(f, warning = function(w) {
  said <<- c(said, gsub("\\s+", " ", conditionMessage(w)))
  invokeRestart("muffleWarning")
})
set.seed(7)
n <- 400
d <- data.frame(a = rnorm(n))
d$b <- 0.5 * d$a + rnorm(n)
d$c <- 0.5 * d$a + rnorm(n)
d$b[1:200] <- NA
d$c[201:400] <- NA
path <- quiet(sem("b ~ a\nc ~ a\nb ~~ 0*c", d, missing = "ml", fixed.x = FALSE))
print(said)
p <- fitMeasures(path, c("npar", "df", "chisq", "pvalue", "tli", "srmr"))
print(p)
stopifnot(length(said) == 1, grepl("coverage", said), !grepl("degree", said))
# 3 means, 3 variances and 2 covariances can be seen; the model has as many parameters
stopifnot(p["npar"] == 8, p["df"] == 1, p["chisq"] < 1e-4, p["pvalue"] > 0.99, p["tli"] > 1)
f <- rnorm(n)
items <- as.data.frame(sapply(1:5, function(k) 0.8 * f + rnorm(n) * 0.6))
names(items) <- paste0("x", 1:5)
items$x4[1:200] <- NA
items$x5[201:400] <- NA
factor <- quiet(cfa("f =~ x1 + x2 + x3 + x4 + x5", items, missing = "ml"))
q <- fitMeasures(factor, c("npar", "df", "chisq"))
print(q)
cat("x4 with x5: 'sample'", inspect(factor, "sampstat")$cov["x5", "x4"], "model", fitted(factor)$cov["x5", "x4"], "\n")
stopifnot(sum(inspect(factor, "coverage")["x4", "x5"]) == 0, q["npar"] == 15, q["df"] == 5) # 5 means, 5 + 9 seen: 19
R
R_LIBS_USER=unpacked/usr/lib/R/site-library Rscript --vanilla seen.R
echo "as described"
