# Sample statistics of ordinal and mixed items as lavaan computes them for WLSMV, and their asymptotic covariance.
# Run in this folder: Rscript ordinal_moments.R   (writes data/ordinal_moments.json)
# Packages: lavaan, jsonlite. Order of items in the model: continuous ones in between, as in the test.

suppressMessages(library(lavaan))
library(jsonlite)

statistics <- function(model, data, ordered) {
  fit <- cfa(model, data, ordered = ordered, estimator = "WLSMV")
  observed <- lavInspect(fit, "wls.obs")
  list(
    names = lavNames(fit, "ov"),
    ordered = ordered,
    n = lavInspect(fit, "nobs"),
    labels = names(observed),
    statistics = as.numeric(observed),       # means with a minus sign
    covariance = unname(unclass(lavInspect(fit, "sampstat")$cov)),
    gamma = unname(unclass(lavInspect(fit, "gamma")))
  )
}

mixed <- read.csv("data/ordinal_mixed.csv")

# three binary items; nobody answered (1, 2) to the first two
cells <- expand.grid(a = 1:2, b = 1:2, c = 1:2)
counts <- c(31, 12, 0, 9, 8, 13, 0, 27)
empty <- cells[rep(seq_len(nrow(cells)), counts), ]

result <- list(
  R = R.version.string,
  lavaan = as.character(packageVersion("lavaan")),
  mixed = statistics("f =~ o1 + c1 + o2 + b1 + o3 + c2 + b2 + o4", mixed, c("o1", "o2", "o3", "o4", "b1", "b2")),
  empty_cell = c(
    statistics("f =~ a + b + c", empty, c("a", "b", "c")),
    list(cells = as.matrix(cells), counts = counts)
  )
)
writeLines(toJSON(result, digits = NA, auto_unbox = TRUE, matrix = "rowmajor"), "data/ordinal_moments.json")
