# Standard errors where two variances stop at 0: lavaan with bounds="pos.var" (R 4.2.2, lavaan 0.6-14).
# Rscript at_bound.R: reads answers.csv (world(1) of tests/estimate/latent/test_at_bound.py), writes at_bound.csv.
suppressMessages(library(lavaan))
answers <- read.csv("answers.csv")
model <- "A =~ a1 + a2\nB =~ b1 + b2\nY =~ y1 + y2 + y3\nY ~ A + B"
for (information in c("expected", "observed")) {
  fit <- sem(model, answers, bounds = "pos.var", information = information)
  own <- parameterEstimates(fit)[, c("lhs", "op", "rhs", "est", "se")]
  own$information <- information
  all <- if (information == "expected") own else rbind(all, own)
}
all$est <- sprintf("%.8f", all$est)
all$se <- sprintf("%.8f", all$se)
write.csv(all, "at_bound.csv", row.names = FALSE, quote = FALSE)
