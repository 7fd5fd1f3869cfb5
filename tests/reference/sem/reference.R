# Numbers of lavaan for the SEM engine: one JSON for each case, in lavaan/.
#
#   Rscript tests/reference/sem/reference.R [folder of the public rows] [folder of mobi.csv] [case ...]
#
# Without the folders ("-") the cases that need other people's rows are left out. What lavaan's optimiser leaves is
# taken away by Newton steps on its own gradient and Hessian before anything is written ("gradient" in the JSON).

suppressMessages(library(lavaan))
library(jsonlite)

command <- commandArgs(trailingOnly = FALSE)
here <- dirname(normalizePath(sub("^--file=", "", command[grep("^--file=", command)])))
given <- commandArgs(trailingOnly = TRUE)
public <- if (length(given) > 0L && given[1] != "-") given[1] else NULL
mobile <- if (length(given) > 1L && given[2] != "-") given[2] else NULL
wanted <- if (length(given) > 2L) given[-(1:2)] else NULL
out <- file.path(here, "lavaan")
dir.create(out, showWarnings = FALSE)

# ---- data

read_rows <- function(file) switch(sub(":.*", "", file),
  data = read.csv(file.path(here, "data", paste0(sub(".*:", "", file), ".csv"))),
  public = if (!is.null(public)) read.csv(file.path(public, paste0(sub(".*:", "", file), ".csv"))),
  mobi = if (!is.null(mobile)) read.csv(file.path(mobile, "mobi.csv"))
)

read_moments <- function(file) {
  content <- fromJSON(file.path(here, "data", paste0(file, "_moments.json")))
  named <- function(part) {
    dimnames(part$covariance) <- list(content$names, content$names)
    names(part$mean) <- content$names
    part
  }
  list(all = named(content$all), groups = lapply(content$groups, named))
}

# ---- models

hs <- "visual  =~ x1 + x2 + x3
textual =~ x4 + x5 + x6
speed   =~ x7 + x8 + x9"

pd <- "ind60 =~ x1 + x2 + x3
dem60 =~ y1 + y2 + y3 + y4
dem65 =~ y5 + y6 + y7 + y8
dem60 ~ ind60
dem65 ~ ind60 + dem60
y1 ~~ y5
y2 ~~ y4 + y6
y3 ~~ y7
y4 ~~ y8
y6 ~~ y8"

pd_equal <- sub("dem60 =~ y1 + y2 + y3 + y4", "dem60 =~ y1 + a*y2 + b*y3 + c*y4", pd, fixed = TRUE)
pd_equal <- sub("dem65 =~ y5 + y6 + y7 + y8", "dem65 =~ y5 + a*y6 + b*y7 + c*y8", pd_equal, fixed = TRUE)

measures <- "influencers =~ inf1 + inf2 + inf3 + inf4
pride =~ pri1 + pri2 + pri3 + pri4
behaviours =~ beh1 + beh2 + beh3 + beh4
value =~ val1 + val2 + val3 + val4
loyalty =~ loy1 + loy2 + loy3 + loy4
"
chain <- paste0(measures, "pride ~ influencers
behaviours ~ influencers + pride
value ~ pride + behaviours
loyalty ~ behaviours + value")

chain_defined <- paste0(measures, "pride ~ a*influencers
behaviours ~ s1*influencers + b*pride
value ~ s2*pride + c*behaviours
loyalty ~ s3*behaviours + d*value
long := a*b*c*d
indirect := a*b*(c*d + s3) + a*s2*d
total := (a*b + s1)*(c*d + s3) + a*s2*d
ratio := long/total")

chain_equal <- paste0(chain, "
inf1 ~~ v*inf1
inf2 ~~ v*inf2
inf3 ~~ v*inf3
inf4 ~~ v*inf4
loy1 ~~ r*loy2
val1 ~~ r*val2")

chain_single <- paste0("influencers =~ inf1 + inf2 + inf3 + inf4
pride =~ pri1 + pri2 + pri3 + pri4
loyal =~ loy1
loy1 ~~ 0.4*loy1
pride ~ influencers
loyal ~ influencers + pride")

covariates <- "influencers =~ inf1 + inf2 + inf3 + inf4
pride =~ pri1 + pri2 + pri3 + pri4
influencers ~ tenure + size
pride ~ influencers + tenure"
covariates_free <- paste0(covariates, "
tenure ~~ tenure + size
size ~~ size")

mobi <- "image =~ IMAG1 + IMAG2 + IMAG3 + IMAG4 + IMAG5
value =~ PERV1 + PERV2
satisfaction =~ CUSA1 + CUSA2 + CUSA3
loyalty =~ CUSL1 + CUSL2 + CUSL3
value ~ image
satisfaction ~ image + value
loyalty ~ image + satisfaction"

smith_sivo <- "SP ~ SOC
PEU ~ SP
PU ~ SP + PEU
CI ~ SP + PU + PEU + SOC
Gains ~ SP
CI ~~ 0*Gains"

loop <- "y1 ~ y2 + x1 + x2
y2 ~ y1 + x3 + x4
y1 ~~ y2"
loop_latent <- "left =~ a1 + a2 + a3
right =~ b1 + b2 + b3
left ~ right + x1 + x2
right ~ left + x3 + x4
left ~~ right"

# ordinal answers given covariates: lavaan conditions on exogenous variables (conditional.x = TRUE, its default)
eng <- "eng =~ e1 + e2 + e3 + e4
"
given_one <- paste0(eng, "eng ~ female")
given_two <- paste0(eng, "loy =~ l1 + l2 + l3
eng ~ female + age
loy ~ b*eng + female")
given_mediated <- paste0(eng, "loy =~ l1 + l2 + l3
eng ~ a*female + age
loy ~ b*eng + c*female + south
indirect := a*b
total := a*b + c")
given_direct <- paste0(eng, "eng ~ female
buy ~ eng + female + age
stay ~ eng + south")
given_alone <- "buy ~ female + age
stay ~ female + south"
given_mixed <- "loy =~ c1 + l1 + l2 + l3
loy ~ female + age
spend ~ loy + south + age"
given_latent <- paste0(eng, "loy =~ l1 + l2 + l3
loy ~ eng + female
spend ~ loy + age")
given_path <- paste0(eng, "loy =~ l1 + l2 + l3
eng ~ female + age
spend ~ eng + south
loy ~ spend + female")
given_equal <- paste0(eng, "loy =~ l1 + l2 + l3
loy ~ eng + k*female
eng ~ k*female + age
e2 ~~ l2")

# ---- a fit without what the optimiser leaves

left_over <- function(fit, x, K) {
  model <- lavaan:::lav_model_set_parameters(fit@Model, x)
  weighted <- !fit@SampleStats@missing.flag
  g <- lavaan:::lav_model_gradient(model, lavsamplestats = fit@SampleStats, lavdata = fit@Data,
    lavcache = fit@Cache, group.weight = weighted)
  list(model = model, weighted = weighted, g = drop(t(K) %*% as.numeric(g)))
}

newton <- function(fit) {
  x <- lavaan:::lav_model_get_parameters(fit@Model)
  K <- if (fit@Model@eq.constraints) fit@Model@eq.constraints.K else diag(length(x))
  at <- left_over(fit, x, K)
  for (round in 1:12) {
    if (max(abs(at$g)) < 1e-13) break
    H <- lavaan:::lav_model_hessian(at$model, lavsamplestats = fit@SampleStats, lavdata = fit@Data,
      lavoptions = fit@Options, lavcache = fit@Cache, group.weight = at$weighted)
    new <- x - drop(K %*% solve(t(K) %*% H %*% K, at$g))
    then <- left_over(fit, new, K)
    if (max(abs(then$g)) >= max(abs(at$g))) break
    x <- new
    at <- then
  }
  table <- parTable(fit)
  free <- table$free > 0L
  table$est[free] <- x[table$free[free]]
  list(table = table, gradient = max(abs(at$g)))
}

# With start = a table, sem() would take fixed.x = FALSE for its default: it is told what it decided before.
tight <- function(args) {
  quick <- list(se = "none", test = "standard", baseline = FALSE)
  first <- suppressWarnings(do.call("sem", c(args[setdiff(names(args), names(quick))], quick)))
  solved <- newton(first)
  args$fixed.x <- lavInspect(first, "options")$fixed.x
  args <- c(args, list(em.h1.tol = 1e-11, em.h1.iter.max = 20000L))
  fit <- do.call("sem", c(args, list(start = solved$table, optim.method = "none", optim.force.converged = TRUE)))
  attr(fit, "gradient") <- solved$gradient
  fit
}

# ---- what is written

MEASURES <- c("npar", "fmin", "chisq", "df", "pvalue", "chisq.scaled", "df.scaled", "pvalue.scaled",
  "chisq.scaling.factor", "baseline.chisq", "baseline.df", "baseline.chisq.scaled", "baseline.chisq.scaling.factor",
  "cfi", "tli", "cfi.scaled", "tli.scaled", "cfi.robust", "tli.robust", "logl", "unrestricted.logl", "aic", "bic",
  "ntotal", "rmsea", "rmsea.ci.lower", "rmsea.ci.upper", "rmsea.scaled", "rmsea.ci.lower.scaled",
  "rmsea.ci.upper.scaled", "rmsea.robust", "rmsea.ci.lower.robust", "rmsea.ci.upper.robust", "srmr")

# Where some items never met lavaan counts covariances that nothing was seen of among its degrees of freedom, and lays
# SRMR and the robust indices on what its EM happened to leave there: these are not written.
COUNTED <- c("df", "pvalue", "chisq.scaled", "df.scaled", "pvalue.scaled", "chisq.scaling.factor", "baseline.df",
  "baseline.chisq.scaled", "baseline.chisq.scaling.factor", "cfi", "tli", "cfi.scaled", "tli.scaled", "cfi.robust",
  "tli.robust", "rmsea", "rmsea.ci.lower", "rmsea.ci.upper", "rmsea.scaled", "rmsea.ci.lower.scaled",
  "rmsea.ci.upper.scaled", "rmsea.robust", "rmsea.ci.lower.robust", "rmsea.ci.upper.robust", "srmr")

columns <- function(frame, keep) {
  frame <- as.data.frame(frame)
  as.list(frame[intersect(keep, names(frame))])
}

parameters <- function(fit, ...) {
  table <- parameterEstimates(fit, standardized = TRUE, remove.system.eq = TRUE, ...)
  table <- table[!table$op %in% c("~*~", "=="), ]
  if ("group" %in% names(table)) {
    labels <- lavInspect(fit, "group.label")
    table$group <- ifelse(table$group > 0L, labels[pmax(table$group, 1L)], "")
  }
  table$se[table$op != ":=" & is.na(table$z)] <- 0
  columns(table, c("lhs", "op", "rhs", "group", "label", "est", "se", "z", "pvalue", "ci.lower", "ci.upper", "std.lv", "std.all"))
}

plain <- function(x) lapply(x, function(one) if (is.list(one)) plain(one) else unclass(one))

extras <- list(
  scores = function(fit) list(
    regression = columns(as.data.frame(head(lavPredict(fit), 5)), colnames(lavPredict(fit))),
    bartlett = columns(as.data.frame(head(lavPredict(fit, method = "Bartlett"), 5)), colnames(lavPredict(fit)))
  ),
  scores_se = function(fit) list(
    regression = drop(attr(lavPredict(fit, se = "standard"), "se")[[1]][1, ]),
    bartlett = drop(attr(lavPredict(fit, method = "Bartlett", se = "standard"), "se")[[1]][1, ])
  ),
  modification = function(fit) columns(head(modindices(fit, sort. = TRUE), 20), c("lhs", "op", "rhs", "mi", "epc", "sepc.all")),
  r2 = function(fit) as.list(lavInspect(fit, "rsquare")),
  standardized = function(fit) columns(standardizedSolution(fit), c("lhs", "op", "rhs", "est.std", "se")),
  residuals = function(fit) {
    left <- lavResiduals(fit, type = "raw", summary = FALSE)$cov
    list(names = colnames(left), covariance = as.vector(left[lower.tri(left, diag = TRUE)]))
  }
)

save_case <- function(name, model, data, args, fit, add = character(), ...) {
  measures <- fitMeasures(fit)
  if (isTRUE(attr(fit, "never_met"))) measures <- measures[setdiff(names(measures), COUNTED)]
  content <- list(
    case = name, lavaan = as.character(packageVersion("lavaan")), R = R.version.string, data = data, model = model,
    options = args, gradient = attr(fit, "gradient"), converged = lavInspect(fit, "converged"),
    fit = as.list(measures[intersect(MEASURES, names(measures))]), parameters = parameters(fit, ...)
  )
  for (extra in add) content[[extra]] <- extras[[extra]](fit)
  write_case(name, content)
}

write_case <- function(name, content) {
  text <- toJSON(content, auto_unbox = TRUE, digits = I(12), na = "null", null = "null")
  text <- gsub("(\"(lhs|op|rhs|group|label|est|se|z|pvalue|ci.lower|ci.upper|std.lv|std.all|fit|parameters|model)\":)", "\n \\1", text)
  writeLines(text, file.path(out, paste0(name, ".json")))
  cat(sprintf("%-32s %7d bytes\n", name, file.size(file.path(out, paste0(name, ".json")))))
}

FITS <- new.env()

run <- function(name, model, data, ..., add = character()) {
  if (!is.null(wanted) && !name %in% wanted) return(invisible())
  args <- told <- list(...)
  # lavaan's own default, said aloud
  implied <- any(c("missing", "group", "by", "ordered", "cluster") %in% names(args))
  if (is.null(told$meanstructure)) told$meanstructure <- implied
  if (startsWith(data, "moments:")) {
    parts <- read_moments(sub(".*:", "", data))
    parts <- if (is.null(args$by)) list(all = parts$all) else parts$groups
    one <- length(parts) == 1L
    pick <- function(field) if (one) parts[[1]][[field]] else lapply(parts, `[[`, field)
    source <- list(sample.cov = pick("covariance"), sample.nobs = if (one) parts[[1]]$n else sapply(parts, `[[`, "n"))
    if (told$meanstructure) source$sample.mean <- pick("mean")
    args$by <- NULL
  } else if (data == "printed:smith_sivo_2012") {
    paper <- fromJSON(file.path(here, "..", "..", "..", "src", "roxmodel", "data", "smith_sivo_2012.json"))
    covariance <- paper$correlations * outer(paper$sd, paper$sd)
    dimnames(covariance) <- list(paper$variables, paper$variables)
    source <- list(sample.cov = covariance, sample.nobs = paper$n)
  } else {
    rows <- read_rows(data)
    if (is.null(rows)) return(invisible(cat(name, "left out: no rows\n")))
    if (isTRUE(args$expand)) rows <- rows[rep(seq_len(nrow(rows)), rows$freq), ]
    source <- list(data = rows)
  }
  args$expand <- NULL
  args$meanstructure <- told$meanstructure
  fit <- tight(c(list(model = model), source, args))
  attr(fit, "never_met") <- grepl("_split", data)
  FITS[[name]] <- fit
  save_case(name, model, data, told, fit, add)
}

lrt <- function(name, cases) {
  if (!is.null(wanted) && !name %in% wanted) return(invisible())
  if (!all(cases %in% ls(FITS))) return(invisible(cat(name, "left out\n")))
  fits <- unname(mget(cases, envir = FITS))
  table <- as.data.frame(do.call("lavTestLRT", c(list(fits[[1]]), fits[-1], list(model.names = cases))))
  write_case(name, list(case = name, lavaan = as.character(packageVersion("lavaan")), R = R.version.string,
    table = c(list(model = rownames(table)), as.list(table))))
}

# ---- the cases

everything <- c("modification", "r2", "residuals")

run("hs_ml", hs, "moments:holzinger_swineford", add = everything)
run("hs_ml_means", hs, "moments:holzinger_swineford", meanstructure = TRUE)
run("hs_mlr", hs, "public:lavaan__HolzingerSwineford1939", estimator = "MLR")
run("hs_mlm", hs, "public:lavaan__HolzingerSwineford1939", estimator = "MLM")
run("hs_fiml", hs, "public:derived__hs_missing", missing = "fiml")
run("hs_fiml_mlr", hs, "public:derived__hs_missing", missing = "fiml", estimator = "MLR")
run("hs_wlsmv", hs, "public:derived__hs_ordinal4", estimator = "WLSMV", ordered = TRUE)
invariance <- list(configural = "", metric = "loadings", scalar = c("loadings", "intercepts"))
for (level in names(invariance)) {
  run(paste0("hs_", level, "_ml"), hs, "moments:holzinger_swineford", by = "school", group.equal = invariance[[level]])
  run(paste0("hs_", level, "_mlr"), hs, "public:lavaan__HolzingerSwineford1939", group = "school",
    group.equal = invariance[[level]], estimator = "MLR")
}
lrt("hs_lrt_ml", paste0("hs_", names(invariance), "_ml"))
lrt("hs_lrt_mlr", paste0("hs_", names(invariance), "_mlr"))

run("pd_ml", pd, "moments:political_democracy", add = "r2")
run("pd_equal_ml", pd_equal, "moments:political_democracy")
run("pd_mlr", pd, "public:lavaan__PoliticalDemocracy", estimator = "MLR")
run("pd_equal_mlr", pd_equal, "public:lavaan__PoliticalDemocracy", estimator = "MLR")

run("mobi_ml", mobi, "mobi:mobi")
run("mobi_mlr", mobi, "mobi:mobi", estimator = "MLR")

run("smith_sivo", smith_sivo, "printed:smith_sivo_2012")

run("chain_ml", chain, "data:chain", add = c(everything, "scores", "scores_se"))
run("chain_ml_means", chain, "data:chain", meanstructure = TRUE, add = "scores")
run("chain_mlr_means", chain, "data:chain", meanstructure = TRUE, estimator = "MLR")
run("chain_ml_observed", chain, "data:chain", information = "observed")
run("chain_stdlv", chain, "data:chain", std.lv = TRUE)
run("chain_mlm", chain, "data:chain", estimator = "MLM")
run("chain_mlr", chain, "data:chain", estimator = "MLR")
run("chain_fiml", chain, "data:chain_missing", missing = "fiml", add = c("scores", "r2"))
run("chain_fiml_mlr", chain, "data:chain_missing", missing = "fiml", estimator = "MLR")
run("chain_fiml_cluster", chain, "data:chain_missing", missing = "fiml", estimator = "MLR", cluster = "branch")
run("chain_fiml_weights", chain, "data:chain_missing", missing = "fiml", estimator = "MLR", sampling.weights = "w")
run("chain_wlsmv", chain, "data:chain_ordinal", estimator = "WLSMV", ordered = TRUE, add = c("r2", "standardized"))
for (level in names(invariance)) {
  run(paste0("chain_", level, "_ml"), chain, "data:chain", group = "region", group.equal = invariance[[level]])
  run(paste0("chain_", level, "_mlr"), chain, "data:chain", group = "region", group.equal = invariance[[level]], estimator = "MLR")
}
run("chain_edges_ml", chain, "data:chain", group = "region", group.equal = c("loadings", "regressions"))
run("chain_edges_mlr", chain, "data:chain", group = "region", group.equal = c("loadings", "regressions"), estimator = "MLR")
lrt("chain_lrt_ml", paste0("chain_", names(invariance), "_ml"))
lrt("chain_lrt_mlr", paste0("chain_", names(invariance), "_mlr"))
lrt("chain_lrt_edges_ml", c("chain_metric_ml", "chain_edges_ml"))
lrt("chain_lrt_edges_mlr", c("chain_metric_mlr", "chain_edges_mlr"))
run("chain_fiml_metric_mlr", chain, "data:chain_missing", missing = "fiml", group = "region", group.equal = "loadings", estimator = "MLR")
run("chain_weights", chain, "data:chain", estimator = "MLR", sampling.weights = "w")
run("chain_cluster", chain, "data:chain", estimator = "MLR", cluster = "branch")
run("chain_cluster_weights", chain, "data:chain", estimator = "MLR", cluster = "branch", sampling.weights = "w")
run("chain_frequency", chain, "data:chain", expand = TRUE)
run("chain_defined", chain_defined, "data:chain")
run("chain_defined_mlr", chain_defined, "data:chain", estimator = "MLR")
run("chain_equal", chain_equal, "data:chain")
run("chain_equal_mlr", chain_equal, "data:chain", estimator = "MLR")
run("chain_single", chain_single, "data:chain")
run("covariates_fixed", covariates, "data:chain")
run("covariates_fixed_mlr", covariates, "data:chain", estimator = "MLR")
run("covariates_free", covariates_free, "data:chain")
run("covariates_free_mlr", covariates_free, "data:chain", estimator = "MLR")
run("loop", loop, "data:nonrecursive")
run("loop_mlr", loop, "data:nonrecursive", estimator = "MLR")
run("loop_latent", loop_latent, "data:nonrecursive")

# what several options do together
run("chain_strict_ml", chain, "data:chain", group = "region", group.equal = c("loadings", "intercepts", "residuals"))
run("chain_stdlv_metric", chain, "data:chain", group = "region", group.equal = "loadings", std.lv = TRUE)
run("chain_metric_mlm", chain, "data:chain", group = "region", group.equal = "loadings", estimator = "MLM")
run("chain_metric_weights", chain, "data:chain", group = "region", group.equal = "loadings", estimator = "MLR", sampling.weights = "w")
run("chain_metric_cluster", chain, "data:chain", group = "region", group.equal = "loadings", estimator = "MLR", cluster = "branch")
run("covariates_metric_mlr", covariates, "data:chain", group = "region", group.equal = "loadings", estimator = "MLR")
run("covariates_mlm", covariates, "data:chain", estimator = "MLM")
run("covariates_fiml_mlr", covariates, "data:chain_missing", missing = "fiml", estimator = "MLR")

# items that never met, joined by others
run("chain_split_fiml", chain, "data:chain_split", missing = "fiml", add = c("scores", "r2"))
run("chain_split_fiml_mlr", chain, "data:chain_split", missing = "fiml", estimator = "MLR")
run("chain_split_metric", chain, "data:chain_split_north", missing = "fiml", group = "region", group.equal = "loadings")
# ordinal answers given covariates
answers <- c("e1", "e2", "e3", "e4", "l1", "l2", "l3", "buy", "stay")
conditional <- function(name, model, ..., outcomes = character()) {
  run(name, model, "data:ordinal_covariates", estimator = "WLSMV", ordered = outcomes, ...)
}
conditional("given_one", given_one, outcomes = answers[1:4], add = "r2")
conditional("given_path", given_path, outcomes = answers[1:7], add = c("r2", "standardized"))
conditional("given_two", given_two, outcomes = answers[1:7])
conditional("given_mediated", given_mediated, outcomes = answers[1:7])
conditional("given_direct", given_direct, outcomes = answers[c(1:4, 8:9)], add = c("r2", "standardized"))
conditional("given_alone", given_alone, outcomes = answers[8:9])
conditional("given_mixed", given_mixed, outcomes = answers[5:7])
conditional("given_latent", given_latent, outcomes = answers[1:7])
conditional("given_stdlv", given_mediated, outcomes = answers[1:7], std.lv = TRUE)
conditional("given_equal", given_equal, outcomes = answers[1:7])

# Bootstrap: percentile intervals, 1,000 draws of rows; compare within Monte-Carlo error.
if (is.null(wanted) || "chain_bootstrap" %in% wanted) {
  rows <- read_rows("data:chain")
  set.seed(20240607)
  fit <- sem(chain_defined, rows, se = "bootstrap", bootstrap = 1000L, iseed = 20240607L)
  attr(fit, "gradient") <- NA
  save_case("chain_bootstrap", chain_defined, "data:chain", list(se = "bootstrap", bootstrap = 1000L, iseed = 20240607L,
    meanstructure = FALSE), fit, boot.ci.type = "perc")
}
