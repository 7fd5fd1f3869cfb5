# Sample statistics of ordinal and mixed items as lavaan computes them for WLSMV, and their asymptotic covariance.
# Run in this folder: Rscript ordinal_moments.R   (writes data/ordinal_moments.json)
# Packages: lavaan, jsonlite. Order of items in the model: continuous ones in between, as in the test.

suppressMessages(library(lavaan))
library(jsonlite)

statistics <- function(model, data, ordered) {
  fit <- sem(model, data, ordered = ordered, estimator = "WLSMV")
  observed <- lavInspect(fit, "wls.obs")
  list(
    names = lavNames(fit, "ov"),
    ordered = ordered,
    n = lavInspect(fit, "nobs"),
    labels = names(observed),
    statistics = as.numeric(observed),       # means with a minus sign
    covariance = unname(unclass(lavTech(fit, "sampstat")[[1]][[1]])),
    gamma = unname(unclass(lavInspect(fit, "gamma")))
  )
}

mixed <- read.csv("data/ordinal_mixed.csv")

# three binary items; nobody answered (1, 2) to the first two
cells <- expand.grid(a = 1:2, b = 1:2, c = 1:2)
counts <- c(31, 12, 0, 9, 8, 13, 0, 27)
empty <- cells[rep(seq_len(nrow(cells)), counts), ]

# a yes/no and a continuous item, one answer discordant and far away: lavaan leaves rows of small density out
set.seed(4)
far <- data.frame(x = round(rnorm(300), 4))
far$o <- 1L * (far$x + rnorm(300) > 0.5)
far[1, ] <- c(6, 0)

covariates <- read.csv("data/ordinal_covariates.csv")

result <- list(
  R = R.version.string,
  lavaan = as.character(packageVersion("lavaan")),
  mixed = statistics("f =~ o1 + c1 + o2 + b1 + o3 + c2 + b2 + o4", mixed, c("o1", "o2", "o3", "o4", "b1", "b2")),
  given = statistics("f =~ e1 + c1 + e3 + spend + l2 + e2\nf ~ female + age", covariates, c("e1", "e2", "e3", "l2")),
  outlier = list(x = far$x, o = far$o, correlation = suppressWarnings(lavCor(far, ordered = "o"))[1, 2]),
  empty_cell = c(
    statistics("f =~ a + b + c", empty, c("a", "b", "c")),
    list(cells = as.matrix(cells), counts = counts)
  )
)
writeLines(toJSON(result, digits = NA, auto_unbox = TRUE, matrix = "rowmajor"), "data/ordinal_moments.json")
