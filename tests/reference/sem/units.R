# What gives a construct its unit in lavaan: a marker, a variance, a label; in one group and in several.
#
#   Rscript tests/reference/sem/units.R
#
# Writes units.json: text, std.lv, group.equal ("" = one group, "configural" = nothing equal), chisq, df.

suppressMessages(library(lavaan))
library(jsonlite)

command <- commandArgs(trailingOnly = FALSE)
here <- dirname(normalizePath(sub("^--file=", "", command[grep("^--file=", command)])))
rows <- read.csv(file.path(here, "data", "chain.csv"))

texts <- c(
  "pride =~ pri1 + pri2 + pri3 + pri4",
  "pride =~ NA*pri1 + pri2 + pri3 + pri4\npride ~~ 1*pride",
  "pride =~ NA*pri1 + pri2 + pri3 + pri4\npride ~~ 2*pride",
  "pride =~ NA*pri1 + start(0.8)*pri1 + pri2 + pri3 + pri4\npride ~~ 1*pride",
  "pride =~ NA*pri1 + a*pri1 + pri2 + pri3 + a*pri4\npride ~~ 1*pride",
  "pride =~ NA*pri1 + 1*pri2 + pri3 + pri4",
  "pride =~ pri1 + NA*pri2 + pri3 + pri4",
  "pride =~ a*pri1 + pri2 + pri3 + pri4",
  "pride =~ a*pri1 + a*pri2 + pri3 + pri4",
  "pride =~ a*pri1 + b*pri2 + c*pri3 + d*pri4",
  "pride =~ a*pri1 + b*pri2 + c*pri3 + d*pri4\npride ~~ v*pride",
  "pride =~ pri1 + pri2 + pri3 + pri4\npride ~~ 1*pride",
  "pride =~ a*pri1 + pri2 + pri3 + pri4\nvalue =~ val1 + val2 + val3\nvalue ~ a*pride",
  "pride =~ NA*pri1 + pri2 + pri3 + pri4\nvalue =~ NA*val1 + val2 + val3\nvalue ~ NA*pride\npride ~~ 1*pride\nvalue ~~ 1*value",
  "pride =~ NA*pri1 + pri2 + pri3 + pri4\nvalue =~ NA*val1 + val2 + val3\nvalue ~~ NA*pride\npride ~~ 1*pride\nvalue ~~ 1*value",
  "pride =~ NA*pri1 + pri2 + pri3 + pri4\npride ~~ 1*pride\nsize ~ pride + tenure",
  "pride =~ 2*pri1 + a*pri1 + pri2 + a*pri3 + pri4"
)
equal <- list("", "configural", "loadings", c("loadings", "intercepts"))

one <- function(text, std, held) {
  found <- if (identical(held, "")) sem(text, data = rows, std.lv = std)
  else sem(text, data = rows, std.lv = std, group = "region", group.equal = if (held[1] == "configural") "" else held)
  measures <- fitMeasures(found, c("chisq", "df"))
  list(text = text, std.lv = std, equal = paste(held, collapse = " "), chisq = unname(measures[1]), df = unname(measures[2]))
}

cases <- list()
for (text in texts) for (std in c(FALSE, TRUE)) for (held in equal) {
  cases <- c(cases, list(suppressWarnings(one(text, std, held))))
}
write(toJSON(list(lavaan = as.character(packageVersion("lavaan")), cases = cases), auto_unbox = TRUE, digits = 8, pretty = TRUE),
      file.path(here, "units.json"))
