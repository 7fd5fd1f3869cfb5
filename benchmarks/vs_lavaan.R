# One job of vs_lavaan.py: fit a model with lavaan, time it, and write what came out.
#
#   Rscript benchmarks/vs_lavaan.R job.json answer.json
#
# A job names the file of the answers (doubles, column after column), the model, the options of sem(), and how often to
# fit. "bootstrap": so many draws with two processes. "weights": a file of row counts, one replicate after another; each
# is fitted to the rows repeated so often.

suppressMessages(library(lavaan))
library(jsonlite)

memory <- function(what) {  # kB, Linux only
  status <- "/proc/self/status"
  if (!file.exists(status)) return(NA)
  line <- grep(what, readLines(status), value = TRUE)
  as.numeric(gsub("[^0-9]", "", line))
}

elapsed <- function(work) {
  start <- Sys.time()
  result <- work()
  list(result = result, seconds = as.numeric(difftime(Sys.time(), start, units = "secs")))
}

given <- commandArgs(trailingOnly = TRUE)
job <- fromJSON(given[1])
rows <- matrix(readBin(job$file, "double", job$n * length(job$names)), job$n)
colnames(rows) <- job$names
rows <- as.data.frame(rows)
invisible(gc())

fit_once <- function(data = rows, ...) {
  suppressWarnings(do.call("sem", c(list(job$model, data), as.list(job$options), list(...))))
}

if (job$repeats > 1) fit <- fit_once()  # warm
before <- memory("VmRSS")
seconds <- numeric(job$repeats)
for (k in seq_len(job$repeats)) {
  run <- elapsed(fit_once)
  seconds[k] <- run$seconds
  fit <- run$result
}
table <- parameterEstimates(fit)
free <- table$se > 0
answer <- list(
  version = as.character(packageVersion("lavaan")), r = paste(R.version$major, R.version$minor, sep = "."),
  seconds = median(seconds), repeats = job$repeats, chisq = unname(fitMeasures(fit, "chisq")),
  converged = lavInspect(fit, "converged"),
  peak_mb = memory("VmHWM") / 1024, extra_mb = (memory("VmHWM") - before) / 1024,
  names = paste0(table$lhs, table$op, table$rhs)[free], estimates = table$est[free], errors = table$se[free]
)

if (!is.null(job$bootstrap)) {
  run <- elapsed(function() {
    suppressWarnings(
      bootstrapLavaan(fit, R = job$bootstrap, FUN = "coef", parallel = "multicore", ncpus = 2L, iseed = 1)
    )
  })
  answer$bootstrap <- list(draws = job$bootstrap, seconds = run$seconds)
}

if (!is.null(job$weights)) {
  counts <- matrix(readBin(job$weights, "double", job$n * job$replicates), job$n)
  refit <- function(k) {
    data <- rows[rep(seq_len(job$n), counts[, k]), ]
    found <- parameterEstimates(fit_once(data, se = "none", test = "none", baseline = FALSE), se = FALSE)
    found$est[free]
  }
  answer$refits <- t(sapply(seq_len(job$replicates), refit))
}

writeLines(toJSON(answer, digits = NA, auto_unbox = TRUE), given[2])
