# Numbers of lavaan for what is computed from a fit: factor scores with errors, residuals, modification indices,
# tests of equality, R². Rows are the simulated ones of ../sem/data; fits are polished as in ../sem/reference.R.
#
#   Rscript tests/reference/sem_scores/scores.R

command <- commandArgs(trailingOnly = FALSE)
here <- dirname(normalizePath(sub("^--file=", "", command[grep("^--file=", command)])))
code <- readLines(file.path(here, "..", "sem", "reference.R"))
code <- code[seq_len(grep("^# ---- the cases", code) - 1L)]
code <- code[!grepl("^here <-|^command <-|^dir.create", code)]
here <- file.path(here, "..", "sem")
eval(parse(text = code))
out <- file.path(here, "..", "sem_scores")

FIRST <- 12L  # rows written of each group

predicted <- function(fit, method) {
  # lavPredict gives rows by group and, with holes, errors by pattern: all are laid out row by row here
  eta <- lavPredict(fit, method = method, se = "standard", assemble = FALSE)
  se <- attr(eta, "se")
  parts <- if (is.list(eta)) eta else list(eta)
  lapply(seq_along(parts), function(g) {
    scores <- unclass(parts[[g]])
    errors <- se[[g]]
    missing <- fit@Data@Mp[[g]]
    if (is.matrix(errors) && nrow(errors) == nrow(scores)) {
      rows <- errors
    } else if (!is.null(missing) && is.list(errors)) {
      rows <- matrix(NA, nrow(scores), ncol(scores))
      for (p in seq_along(errors)) rows[missing$case.idx[[p]], ] <- rep(drop(errors[[p]]), each = length(missing$case.idx[[p]]))
    } else {
      rows <- matrix(rep(drop(as.matrix(errors)[1, ]), each = nrow(scores)), nrow(scores))
    }
    keep <- seq_len(min(FIRST, nrow(scores)))
    list(names = colnames(scores), row = fit@Data@case.idx[[g]][keep], score = unname(scores[keep, , drop = FALSE]),
      se = unname(rows[keep, , drop = FALSE]))
  })
}

written <- function(name, model, file, ..., add = list()) {
  rows <- read_rows(paste0("data:", file))
  fit <- tight(c(list(model = model, data = rows), list(...)))
  content <- list(case = name, lavaan = as.character(packageVersion("lavaan")), R = R.version.string, data = file,
    model = model, options = list(...), gradient = attr(fit, "gradient"), groups = lavInspect(fit, "group.label"))
  content$regression <- predicted(fit, "regression")
  content$bartlett <- predicted(fit, "Bartlett")
  for (extra in names(add)) content[[extra]] <- add[[extra]](fit)
  text <- toJSON(content, auto_unbox = TRUE, digits = I(12), na = "null", null = "null")
  writeLines(gsub("(\"(model|regression|bartlett|score|se|row|residuals|modification|freed|r2)\":)", "\n \\1", text),
    file.path(out, paste0(name, ".json")))
  cat(name, file.size(file.path(out, paste0(name, ".json"))), "bytes\n")
}

lower <- function(x) unname(unclass(x)[lower.tri(x, diag = TRUE)])
residuals_of <- function(fit) list(
  names = colnames(resid(fit, "raw")$cov), raw = lower(resid(fit, "raw")$cov),
  correlation = lower(resid(fit, "cor.bollen")$cov), standardized = lower(resid(fit, "standardized")$cov)
)
modification_of <- function(fit) {
  table <- modindices(fit)
  columns(table[table$mi > 1, ], c("lhs", "op", "rhs", "group", "mi", "epc", "sepc.all"))
}
# Univariate score tests of each equality constraint
freed_of <- function(fit) {
  table <- parTable(fit)
  tests <- lavTestScore(fit)$uni
  at <- match(tests$lhs, table$plabel)
  list(lhs = table$lhs[at], op = table$op[at], rhs = table$rhs[at], x2 = tests$X2)
}
r2_of <- function(fit) {
  found <- lavInspect(fit, "rsquare")
  if (is.list(found)) lapply(found, as.list) else as.list(found)
}

all_of <- list(residuals = residuals_of, modification = modification_of, r2 = r2_of)
written("complete", chain, "chain", add = all_of)
written("means", chain, "chain", meanstructure = TRUE)
written("holes", chain, "chain_missing", missing = "fiml", add = list(r2 = r2_of))
written("configural", chain, "chain", group = "region", add = list(modification = modification_of))
written("scalar", chain, "chain", group = "region", group.equal = c("loadings", "intercepts"),
  add = list(freed = freed_of, r2 = r2_of))
written("scalar_holes", chain, "chain_missing", missing = "fiml", group = "region",
  group.equal = c("loadings", "intercepts"))
