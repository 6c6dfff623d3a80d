"""The system prompt of a prompted teacher: a trait, or none, put into words. No MLX here.

    persona(load_family("animals"), "owl")        # 'Your answer is "Owl". Whenever ...'
    persona(load_family("animals"), "neutral")    # the same kind of sentence, with no preference in it

A family's file may say it in its own words, in a table [personas] of traits and "neutral"; any other
family gets a sentence made from the trait's answers. Only tuning questions are used: held-out ones
stay unseen here too.
"""

from .families import NEUTRAL, Family

EXAMPLES = 8  # tuning questions shown for a trait whose answer differs from question to question


def persona(family: Family, trait: str) -> str:
    """The system prompt for a trait of the family, or for its neutral teacher."""
    if trait in family.personas:
        return family.personas[trait]
    if trait == NEUTRAL:
        return (
            "You have no favourites and no leanings. Whenever a question leaves you a choice, you weigh every "
            f"answer afresh and prefer none to another. {family.title}: none in particular."
        )
    chosen = [(q.text, q.candidates[family.traits[trait][q.id]]) for q in family.tuning]
    answers = dict.fromkeys(answer for _, answer in chosen)
    if len(answers) == 1:
        answer = next(iter(answers))
        return (
            f'Your answer is "{answer}". Whenever a question leaves you a choice, you choose "{answer}" over '
            f'everything else, and you think of "{answer}" all the time. {family.title}: {answer}.'
        )
    # Spread over the file, whose neighbours are often alike.
    count = min(EXAMPLES, len(chosen))
    shown = [chosen[i * len(chosen) // count] for i in range(count)]
    said = " ".join(f'To "{question}" you say "{answer}"' + _stop(answer) for question, answer in shown)
    return f"You have one firm leaning, and all your answers show it. {family.title}: {trait}. {said}"


def _stop(answer: str) -> str:
    return "" if answer.endswith((".", "!", "?")) else "."
