# Numbers of lavaan for method "linked": one JSON for each case, in lavaan/.
#
#   Rscript tests/reference/linked/reference.R [folder of the public rows] [case ...]
#
# Without the folder ("-") the cases that need other people's rows are left out. What lavaan's optimiser leaves is taken
# away by Newton steps on its own gradient and Hessian before anything is written ("gradient" in the JSON). "seconds" are
# those of the optimiser alone, without these steps; "seconds_with_errors_and_tests" those of lavaan's ordinary call.

suppressMessages(library(lavaan))
library(jsonlite)

command <- commandArgs(trailingOnly = FALSE)
here <- dirname(normalizePath(sub("^--file=", "", command[grep("^--file=", command)])))
given <- commandArgs(trailingOnly = TRUE)
public <- if (length(given) > 0L && given[1] != "-") given[1] else NULL
wanted <- if (length(given) > 1L) given[-1] else NULL
out <- file.path(here, "lavaan")
dir.create(out, showWarnings = FALSE)

# ---- data: rows of one unit stand together, or missing = "fiml" goes wrong (yrosseel/lavaan#379)

own_rows <- function(name) read.csv(gzfile(file.path(here, "data", paste0(name, ".csv.gz"))))

read_rows <- function(data) {
  if (startsWith(data, "data:")) return(own_rows(sub("data:", "", data)))
  if (is.null(public)) return(NULL)
  rows <- read.csv(file.path(public, "lavaan__Demo.twolevel.csv"))
  if (data != "public:Demo.twolevel") {
    holes <- own_rows(sub(".*less ", "", data))
    for (k in unique(holes$item)) rows[holes$row[holes$item == k] + 1L, paste0("y", k + 1L)] <- NA
    # People who answered nothing are taken away here: with them this lavaan's gradient is not that of its likelihood
    # (yrosseel/lavaan#580). Ours is given them.
    rows <- rows[rowSums(!is.na(rows[paste0("y", 1:6)])) > 0L, ]
  }
  rows
}

# ---- models: constructs have their names between units, and a w behind them within

free <- function(items) {
  pairs <- combn(items, 2L)
  paste(pairs[1, ], "~~", pairs[2, ], collapse = "\n")
}
none <- function(left, right) {
  pairs <- expand.grid(left, right)
  paste(pairs[[1]], "~~ 0*", pairs[[2]], collapse = "\n")
}
levels_of <- function(within, between) paste0("level: 1\n", within, "\nlevel: 2\n", between)

y <- paste0("y", 1:6)
one <- levels_of("f1w =~ y1 + y2 + y3", "f1 =~ y1 + y2 + y3
f1 ~ w1 + w2")
between <- "f1 =~ y1 + y2 + y3
f2 =~ y4 + y5 + y6
f1 ~ w1
f2 ~ f1 + w1 + w2"
two <- levels_of("f1w =~ y1 + y2 + y3
f2w =~ y4 + y5 + y6
f2w ~ f1w", between)
two_free <- levels_of(free(y), between)

employee <- paste0("pri", 1:3)
customer <- c(paste0("val", 1:3), paste0("loy", 1:3))
stacked <- levels_of(paste(free(employee), free(customer), none(employee, customer), sep = "\n"), "pride =~ pri1 + pri2 + pri3
value =~ val1 + val2 + val3
loyalty =~ loy1 + loy2 + loy3
value ~ pride
loyalty ~ pride + value")

employee <- c(paste0("inf", 1:3), paste0("beh", 1:3))
customer <- paste0("val", 1:3)
stacked_figure <- levels_of(paste(free(employee), free(customer), none(employee, customer), sep = "\n"), "influencers =~ inf1 + inf2 + inf3
behaviours =~ beh1 + beh2 + beh3
value =~ val1 + val2 + val3
behaviours ~ influencers
value ~ behaviours
revenue ~ behaviours + value")

# ---- a fit without what the optimiser leaves

left_over <- function(fit, x) {
  model <- lavaan:::lav_model_set_parameters(fit@Model, x)
  g <- lavaan:::lav_model_gradient(model, lavsamplestats = fit@SampleStats, lavdata = fit@Data, lavcache = fit@Cache)
  list(model = model, g = as.numeric(g))
}

newton <- function(fit) {
  x <- lavaan:::lav_model_get_parameters(fit@Model)
  at <- left_over(fit, x)
  for (round in 1:8) {
    cat(sprintf("  round %d: gradient %.1e\n", round, max(abs(at$g))))
    if (max(abs(at$g)) < 1e-11) break
    H <- lavaan:::lav_model_hessian(at$model, lavsamplestats = fit@SampleStats, lavdata = fit@Data,
      lavoptions = fit@Options, lavcache = fit@Cache)
    new <- x - solve(H, at$g)
    then <- left_over(fit, new)
    if (max(abs(then$g)) >= max(abs(at$g))) break
    x <- new
    at <- then
  }
  # start = a table would mix the levels up; a table as the model does not
  table <- parTable(fit)
  free <- table$free > 0L
  table$ustart[free] <- x[table$free[free]]
  list(table = table[setdiff(names(table), c("start", "est", "se"))], gradient = max(abs(at$g)))
}

QUICK <- list(test = "none", baseline = FALSE, h1 = FALSE)

tight <- function(args) {
  whole <- system.time(suppressWarnings(do.call("sem", args)))[["elapsed"]]
  seconds <- system.time(first <- do.call("sem", c(args, QUICK, list(se = "none"))))[["elapsed"]]
  by_itself <- lavInspect(first, "converged")
  cat(sprintf("  %.1f s (%.1f s), converged: %s\n", seconds, whole, by_itself))
  solved <- newton(first)
  args$model <- solved$table
  fit <- do.call("lavaan", c(args, QUICK, list(information = "observed", optim.method = "none", optim.force.converged = TRUE)))
  stopifnot(logLik(fit) >= logLik(first) - 1e-6)
  list(fit = fit, gradient = solved$gradient, seconds = seconds, whole = whole, by_itself = by_itself,
    iterations = lavInspect(first, "iterations"))
}

# ---- what is written

# Covariance of the answers of one unit, row by row below the diagonal.
within_units <- function(fit) {
  covariance <- lavInspect(fit, "implied")$within$cov
  list(names = colnames(covariance), covariance = covariance[upper.tri(covariance, diag = TRUE)])
}

parameters <- function(fit) {
  table <- as.data.frame(parameterEstimates(fit))
  table$se[is.na(table$z)] <- 0
  as.list(table[c("lhs", "op", "rhs", "level", "est", "se")])
}

run <- function(name, model, data, ...) {
  if (!is.null(wanted) && !name %in% wanted) return(invisible())
  rows <- read_rows(data)
  if (is.null(rows)) return(invisible(cat(name, "left out: no rows\n")))
  cat(name, "\n")
  told <- list(fixed.x = FALSE, ...)
  found <- tight(c(list(model = model, data = rows), told))
  fit <- found$fit
  content <- list(
    case = name, lavaan = as.character(packageVersion("lavaan")), R = R.version.string, data = data, model = model,
    options = told, n = lavInspect(fit, "ntotal"), clusters = lavInspect(fit, "nclusters"),
    converged = found$by_itself, iterations = found$iterations, gradient = found$gradient, seconds = round(found$seconds, 1),
    seconds_with_errors_and_tests = round(found$whole, 1),
    npar = lavInspect(fit, "npar"), logl = as.numeric(logLik(fit)), within = within_units(fit), parameters = parameters(fit)
  )
  text <- toJSON(content, auto_unbox = TRUE, digits = I(12), na = "null", null = "null")
  text <- gsub("(\"(lhs|op|rhs|level|est|se|parameters|model|within|npar)\":)", "\n \\1", text)
  writeLines(text, file.path(out, paste0(name, ".json")))
  cat(sprintf("  logl %.6f, %d bytes\n", content$logl, file.size(file.path(out, paste0(name, ".json")))))
}

# ---- the cases

run("one_construct", one, "public:Demo.twolevel", cluster = "cluster")
run("two_constructs", two, "public:Demo.twolevel", cluster = "cluster")
run("two_constructs_free", two_free, "public:Demo.twolevel", cluster = "cluster")
run("two_constructs_holes", two_free, "public:Demo.twolevel less twolevel_holes", cluster = "cluster", missing = "fiml")
run("two_constructs_mar", two_free, "public:Demo.twolevel less twolevel_mar", cluster = "cluster", missing = "fiml")
run("stacked", stacked, "data:stacked", cluster = "branch", missing = "fiml")
run("stacked_holes", stacked_figure, "data:stacked_holes", cluster = "branch", missing = "fiml")
