"""The public names and where they live: what type checkers read, and what is loaded at run time."""

from ._version import __version__ as __version__
from .curation import (
    BiasRow as BiasRow,
    Curation as Curation,
    Evidence as Evidence,
    GoldPlan as GoldPlan,
    ReratePlan as ReratePlan,
    combine_ratings as combine_ratings,
    curate as curate,
    measure_bias as measure_bias,
    plan_gold as plan_gold,
    plan_rerating as plan_rerating,
    remove_covariate as remove_covariate,
)
from .embedding import (
    Embedder as Embedder,
    EmbeddingReport as EmbeddingReport,
    Model2VecEmbedder as Model2VecEmbedder,
    OpenAIEmbedder as OpenAIEmbedder,
    PrecomputedEmbedder as PrecomputedEmbedder,
    SentenceTransformerEmbedder as SentenceTransformerEmbedder,
    WordLlamaEmbedder as WordLlamaEmbedder,
    embed as embed,
)
from .errors import (
    Ds2Error as Ds2Error,
    Ds2Warning as Ds2Warning,
    InputError as InputError,
    MissingDependencyError as MissingDependencyError,
    RunError as RunError,
)
from .neighbors import (
    Neighbors as Neighbors,
    find_neighbors as find_neighbors,
)
from .noise import (
    Agreement as Agreement,
    Lift as Lift,
    RaterFit as RaterFit,
    Reliability as Reliability,
    SimulatedPool as SimulatedPool,
    TransitionEstimate as TransitionEstimate,
    agreement as agreement,
    agreement_difference as agreement_difference,
    estimate_transition as estimate_transition,
    find_swapped_levels as find_swapped_levels,
    fit_raters as fit_raters,
    measure_reliability as measure_reliability,
    simulate as simulate,
)
from .pool import (
    Card as Card,
    Example as Example,
    Handoff as Handoff,
    Message as Message,
    Pool as Pool,
    count_tokens as count_tokens,
    find_contaminated as find_contaminated,
    find_duplicates as find_duplicates,
    hand_off as hand_off,
    push_to_hub as push_to_hub,
    read_pool as read_pool,
    write_pool as write_pool,
)
from .proof import (
    ArmComparison as ArmComparison,
    Arms as Arms,
    Difference as Difference,
    Likelihoods as Likelihoods,
    Noise as Noise,
    compare_arms as compare_arms,
    detectable_effect as detectable_effect,
    measure_likelihoods as measure_likelihoods,
    read_arms as read_arms,
)
from .rating import (
    Batches as Batches,
    BatchRater as BatchRater,
    ChatRater as ChatRater,
    Criterion as Criterion,
    GoldScores as GoldScores,
    LocalRater as LocalRater,
    Panel as Panel,
    RatingAudit as RatingAudit,
    Ratings as Ratings,
    Rubric as Rubric,
    Scale as Scale,
    audit_ratings as audit_ratings,
    import_panel as import_panel,
    import_ratings as import_ratings,
    rate as rate,
    read_gold as read_gold,
    reparse as reparse,
)
from .runs.whole import RunResult as RunResult, run as run
from .selection import (
    AgainstRandom as AgainstRandom,
    Comparison as Comparison,
    Constraints as Constraints,
    Quota as Quota,
    Selection as Selection,
    Stability as Stability,
    against_random as against_random,
    compare_selections as compare_selections,
    find_near as find_near,
    find_near_duplicates as find_near_duplicates,
    long_tail_scores as long_tail_scores,
    select as select,
    selection_stability as selection_stability,
)
