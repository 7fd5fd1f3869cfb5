#!/usr/bin/env bash
# lavaan 0.6-14, WLSMV: in one model a continuous outcome's residual variance has the divisor n, the variance of its
# predictor n - 1. So the R-square of a plain regression depends on whether an ordinal question stands beside it: not the
# one of ordinary regression, nor of the same regression by ML (which is). The slope stays the same.
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
set.seed(5)
n <- 30
d <- data.frame(x = rnorm(n))
d$v <- 0.5 * d$x + rnorm(n)
d$u <- ordered(cut(d$x + rnorm(n), c(-Inf, 0, Inf), labels = FALSE))
plain <- lm(v ~ x, d)
alone <- sem("v ~ x", d)
beside <- sem("v ~ x\nu ~ x", d)
r2 <- c(lm = summary(plain)$r.squared, alone = unname(inspect(alone, "r2")["v"]), beside = unname(inspect(beside, "r2")["v"]))
print(round(r2, 4))
p <- parameterEstimates(beside)
slope <- p$est[p$lhs == "v" & p$op == "~"]
residual <- p$est[p$lhs == "v" & p$op == "~~" & p$rhs == "v"]
x <- p$est[p$lhs == "x" & p$op == "~~"]
cat("residual variance x n / RSS", residual * n / deviance(plain), " variance of x / var(x)", x / var(d$x), "\n")
stopifnot(abs(slope - coef(plain)["x"]) < 1e-4, abs(residual * n / deviance(plain) - 1) < 1e-3, abs(x / var(d$x) - 1) < 1e-6)
stopifnot(abs(r2["alone"] - r2["lm"]) < 1e-5, r2["beside"] - r2["lm"] > 0.003)
R
R_LIBS_USER=unpacked/usr/lib/R/site-library Rscript --vanilla seen.R
echo "as described"
